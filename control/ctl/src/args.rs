//! The command tree, the options that all commands share, and the way to a command.
//!
//! A line that the tree does not know is first looked up among the phrases of other tools
//! ([`crate::foreign`]); `--help` goes to standard output. Each noun's arguments are in its
//! own file. Implements interfaces.md §5 (conventions).

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::failure::{Exit, Failure};
use crate::render::{Format, Look};
use crate::session::Session;
use crate::{
    World, api, attachment, bond, bridge, capture, config, daemon, drops, fdb, foreign, lacp,
    monitor, port, shell, show, status, top, trace, vlan,
};

/// Where the daemon listens unless told otherwise.
pub(crate) const DEFAULT_SOCKET: &str = vswitch_api::client::SOCKET;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: the switch could not do it, or its configuration is wrong
  2  usage: the command line is wrong
  3  the daemon is unreachable
  4  there is no such bridge, port, bond, address or file
  5  not permitted, or the object is protected
  6  conflict: exists already, in use, or changed meanwhile
  7  degraded (status only)

Examples:
  vswctl status
  vswctl bridge add br0
  vswctl port add vm1 --bridge br0 --kind tap --vlan 100
  vswctl vlan add trunk1 200-299
  vswctl trace vm1 'dst ff:ff:ff:ff:ff:ff arp who-has 10.0.0.1'";

/// Shows and changes the virtual switch of this host.
#[derive(Debug, Parser)]
#[command(name = "vswctl", version, infer_subcommands = true, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The daemon's control socket
    #[arg(long, global = true, value_name = "PATH", env = "VSWITCH_SOCKET", default_value = DEFAULT_SOCKET)]
    pub(crate) socket: PathBuf,
    /// The longest time to wait for an answer
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = vswitch_api::client::TIMEOUT.as_secs(), value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: u64,
    /// JSON; the same as -o json
    #[arg(short, long, global = true)]
    pub(crate) json: bool,
    /// The form of the output
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
    /// No headings above columns
    #[arg(long, global = true)]
    pub(crate) no_headers: bool,
    /// Only these columns of a table, in this order
    #[arg(long, global = true, value_name = "A,B", value_delimiter = ',')]
    pub(crate) columns: Vec<String>,
    /// Sort the rows of a table by this column
    #[arg(long, global = true, value_name = "COLUMN")]
    pub(crate) sort: Option<String>,
    /// Print nothing but errors, those in one line
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Colours
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    pub(crate) color: When,
    /// Plain ASCII, also where the locale is UTF-8
    #[arg(long, global = true)]
    pub(crate) ascii: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Health in one screen; exit code 0, 7 (degraded) or 3 (no daemon)
    Status(status::Args),
    /// Bridges and their ports as a tree
    Show(show::Args),
    /// Bridges: learning domains
    #[command(subcommand)]
    Bridge(bridge::Command),
    /// Ports: attachments to the outside
    #[command(subcommand)]
    Port(port::Command),
    /// Give an attachment, as container runtimes make them, a port on a device that is there
    Attach(attachment::AttachArgs),
    /// Take the port of an attachment away
    Detach(attachment::DetachArgs),
    /// Attachments: ports that container runtimes own
    #[command(subcommand)]
    Attachment(attachment::Command),
    /// Bonds: several ports that are one towards the bridge
    #[command(subcommand)]
    Bond(bond::Command),
    /// What bonds and their partners say to each other
    #[command(subcommand)]
    Lacp(lacp::Command),
    /// VLANs of ports, in the columns of `bridge vlan show`
    #[command(subcommand)]
    Vlan(vlan::Command),
    /// Known addresses
    #[command(subcommand)]
    Fdb(fdb::Command),
    /// What would happen to a frame, step by step; nothing is sent
    Trace(trace::Args),
    /// Dropped frames by reason, with the meaning
    Drops(drops::Args),
    /// Load of threads and ports, again and again, the busiest port first
    Top(top::Args),
    /// Events as they happen
    Monitor(monitor::Args),
    /// Frames as they pass a port, printed or as pcapng
    Capture(capture::Args),
    /// The configuration: running, saved, from a file
    #[command(subcommand)]
    Config(config::Command),
    /// The daemon itself
    #[command(subcommand)]
    Daemon(daemon::Command),
    /// Raw access to the control socket (varlink)
    #[command(subcommand)]
    Api(api::Command),
    /// Completions for a shell, on standard output
    Completion(shell::CompletionArgs),
    /// Manual pages, as troff on standard output
    #[command(hide = true)]
    Man(shell::ManArgs),
}

/// Runs one command line.
pub(crate) fn run(line: impl IntoIterator<Item = OsString>, world: &mut World<'_>) -> Exit {
    let mut line: Vec<OsString> = line.into_iter().collect();
    if line.is_empty() {
        line.push("vswctl".into());
    }
    let program = line.remove(0);
    let words: Vec<String> = line
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let line = std::iter::once(program).chain(spelled(line));
    let cli = match Cli::try_parse_from(line) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, &words, world),
    };
    let look = look(&cli.global, world);
    let quiet = cli.global.quiet;
    let mut session = Session::new(
        world,
        look.clone(),
        quiet,
        cli.global.socket,
        Duration::from_secs(cli.global.timeout),
    );
    match dispatch(cli.command, &mut session) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            failure.print(world.err, &words, &look, quiet);
            failure.exit
        }
    }
}

fn dispatch(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::Status(args) => status::run(&args, session),
        Command::Show(args) => show::run(&args, session),
        Command::Bridge(command) => bridge::run(command, session),
        Command::Port(command) => port::run(command, session),
        Command::Attach(args) => attachment::attach(args, session),
        Command::Detach(args) => attachment::detach(args, session),
        Command::Attachment(command) => attachment::run(command, session),
        Command::Bond(command) => bond::run(command, session),
        Command::Lacp(command) => lacp::run(command, session),
        Command::Vlan(command) => vlan::run(command, session),
        Command::Fdb(command) => fdb::run(command, session),
        Command::Trace(args) => trace::run(&args, session),
        Command::Drops(args) => drops::run(&args, session),
        Command::Top(args) => top::run(&args, session),
        Command::Monitor(args) => monitor::run(args, session),
        Command::Capture(args) => capture::run(args, session),
        Command::Config(command) => config::run(command, session),
        Command::Daemon(command) => daemon::run(command, session),
        Command::Api(command) => api::run(command, session),
        Command::Completion(args) => shell::completion(&args, session),
        Command::Man(args) => shell::man(&args, session),
    }
}

/// The words after the program's name, with what iproute2 writes with one dash spelled with
/// two, and `-c` before a noun (`bridge -c vlan show`) moved behind it.
fn spelled(line: Vec<OsString>) -> Vec<OsString> {
    let moved = line.first().is_some_and(|word| word == "-c");
    let mut spelled: Vec<OsString> = line.into_iter().skip(usize::from(moved)).collect();
    for word in &mut spelled {
        if word == "-compressvlans" || word == "-compress" {
            *word = "--compressvlans".into();
        }
    }
    if moved {
        spelled.push("-c".into());
    }
    spelled
}

fn look(global: &Global, world: &World<'_>) -> Look {
    let format = match global.output {
        Some(format) => format,
        None if global.json => Format::Json,
        None => Format::Table,
    };
    let color = match global.color {
        When::Always => true,
        When::Never => false,
        When::Auto => world.color_wanted,
    };
    Look {
        format,
        json: matches!(format, Format::Json | Format::Jsonl),
        headers: !global.no_headers,
        color,
        ascii: global.ascii || !world.utf8,
        columns: global.columns.clone(),
        sort: global.sort.clone(),
    }
}

/// Help, version, or why the line is wrong.
fn refuse(error: &clap::Error, words: &[String], world: &mut World<'_>) -> Exit {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        let text = error.render();
        let text = if world.color_wanted {
            text.ansi().to_string()
        } else {
            text.to_string()
        };
        return match crate::render::write_out(world.out, &text) {
            Ok(()) => Exit::Done,
            Err(error) => Failure::from(error).exit,
        };
    }
    let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
    let json = has(&[
        "-j",
        "--json",
        "-ojson",
        "-ojsonl",
        "--output=json",
        "--output=jsonl",
    ]) || words
        .windows(2)
        .any(|pair| matches!(pair[0].as_str(), "-o" | "--output") && pair[1].starts_with("json"));
    let look = Look {
        format: Format::Table,
        json,
        headers: true,
        color: world.color_wanted,
        ascii: true,
        columns: Vec::new(),
        sort: None,
    };
    let failure = foreign::translate(words).unwrap_or_else(|| foreign::explain(error, words));
    failure.print(world.err, words, &look, has(&["-q", "--quiet"]));
    failure.exit
}

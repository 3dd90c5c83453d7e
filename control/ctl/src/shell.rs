//! `vswctl completion` and `vswctl man`: made from the command tree, so they cannot lie.

use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::{Exit, Failure};
use crate::session::Session;

/// The section of the manual for system administration.
const SECTION: &str = "8";

#[derive(Debug, clap::Args)]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(["bash", "zsh", "fish"]))]
    shell: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// The page of this noun; default: vswctl(8)
    noun: Option<String>,
    /// Write every page into this folder
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

pub(crate) fn completion(
    args: &CompletionArgs,
    session: &mut Session<'_, '_>,
) -> Result<(), Failure> {
    let shell = match args.shell.as_str() {
        "bash" => Shell::Bash,
        "zsh" => Shell::Zsh,
        _ => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "vswctl", &mut script);
    session.print(&String::from_utf8_lossy(&script))
}

fn page(command: clap::Command) -> Result<String, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .section(SECTION)
        .render(&mut page)
        .map_err(|error| {
            Failure::new(
                Exit::Failed,
                "vswctl.Man",
                format!("cannot make the manual page: {error}"),
            )
        })?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// The pages by name: the whole, and one for each noun.
fn pages() -> Result<Vec<(String, String)>, Failure> {
    let mut whole = Cli::command().disable_help_subcommand(true);
    whole.build();
    let mut pages = vec![("vswctl".to_owned(), page(whole.clone())?)];
    for noun in whole.get_subcommands().filter(|noun| !noun.is_hide_set()) {
        let name = format!("vswctl-{}", noun.get_name());
        pages.push((name, page(noun.clone())?));
    }
    Ok(pages)
}

pub(crate) fn man(args: &ManArgs, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let pages = pages()?;
    if let Some(folder) = &args.dir {
        for (name, page) in &pages {
            let path = folder.join(format!("{name}.{SECTION}"));
            std::fs::write(&path, page).map_err(|error| Failure::file("write", &path, &error))?;
        }
        return session.print(&format!("{} pages in {}\n", pages.len(), folder.display()));
    }
    let wanted = args
        .noun
        .as_ref()
        .map_or_else(|| "vswctl".to_owned(), |noun| format!("vswctl-{noun}"));
    match pages.iter().find(|(name, _)| *name == wanted) {
        Some((_, page)) => session.print(page),
        None => {
            let known: Vec<&str> = pages
                .iter()
                .filter_map(|(name, _)| name.strip_prefix("vswctl-"))
                .collect();
            Err(Failure::not_found(
                "manual page",
                args.noun.as_deref().unwrap_or_default(),
                &known,
            ))
        }
    }
}

//! `vswctl fdb`: known addresses, shown, configured, forgotten, followed.
#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "help texts are doc comments, and their brackets mean optional words"
)]

use std::collections::BTreeSet;

use vswitch_api::config::{Mac, StaticKind};
use vswitch_api::request::{FdbAdd, FdbDel, FdbFlush, FdbList, FdbWatch, GetState};
use vswitch_api::types::{FdbEntry, FdbEvent, FdbKind, FdbOp};

use crate::change::{ChangeArgs, report, vid};
use crate::failure::Failure;
use crate::iproute2;
use crate::render::{Body, Cell, Look, Style, Table, View, or_dash, to_json};
use crate::session::{Session, Watch};
use crate::units;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Known addresses
    #[command(visible_alias = "list")]
    Show {
        #[command(flatten)]
        filter: Filter,
        /// The lines and the JSON of `bridge fdb show`
        #[arg(long)]
        iproute2: bool,
        #[command(flatten)]
        watch: Watch,
    },
    /// Configure an address: MAC PORT, or MAC dev PORT vlan VLAN
    Add {
        #[command(flatten)]
        edit: Edit,
        /// The address is the switch's own on that host port
        #[arg(long)]
        local: bool,
    },
    /// Take a configured address away: MAC [dev PORT] [vlan VLAN]
    #[command(visible_aliases = ["rm", "delete"])]
    Del {
        #[command(flatten)]
        edit: Edit,
    },
    /// Forget learned addresses
    Flush {
        #[command(flatten)]
        filter: Filter,
        /// All of all bridges
        #[arg(long)]
        all: bool,
    },
    /// Changes as they happen
    Watch {
        /// [BRIDGE], [dev PORT]
        #[arg(value_name = "BRIDGE")]
        words: Vec<String>,
        /// Only of this port
        #[arg(long, short)]
        port: Option<String>,
        /// Begin with the addresses that are known already
        #[arg(long)]
        present: bool,
    },
}

/// Which addresses.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Filter {
    /// [BRIDGE], or the words of iproute2: br BRIDGE, dev PORT, vlan VLAN
    #[arg(value_name = "BRIDGE")]
    words: Vec<String>,
    /// Only those behind this port
    #[arg(long, short)]
    port: Option<String>,
    /// Only those of this VLAN
    #[arg(long)]
    vlan: Option<String>,
    /// Only this address
    #[arg(long)]
    mac: Option<String>,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Edit {
    /// MAC, [dev] PORT, vlan VLAN
    #[arg(required = true, value_name = "WORD")]
    words: Vec<String>,
    /// The bridge; default: the port's
    #[arg(long, short)]
    bridge: Option<String>,
    /// The VLAN; default: the bridge's default VLAN
    #[arg(long)]
    vlan: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// What the words of a line say.
#[derive(Debug, Default)]
struct Said {
    mac: Option<Mac>,
    bridge: Option<String>,
    port: Option<String>,
    vlan: Option<u16>,
}

fn mac(text: &str) -> Result<Mac, Failure> {
    text.parse().map_err(|error| {
        Failure::usage(format!("\"{text}\" is no address"))
            .fact("why", format!("{error}"))
            .help("such as 52:54:00:12:34:56")
    })
}

/// Reads words of iproute2; a bare word goes to `bare`.
fn read(
    words: &[String],
    mut bare: impl FnMut(&mut Said, &str) -> Result<(), Failure>,
) -> Result<Said, Failure> {
    let mut said = Said::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .ok_or_else(|| Failure::usage(format!("behind \"{word}\" a word is missing")))
        };
        match word.as_str() {
            "dev" | "brport" => said.port = Some(value()?.clone()),
            "br" => said.bridge = Some(value()?.clone()),
            "vlan" | "vid" => said.vlan = Some(vid("addresses", value()?)?),
            "master" | "self" | "static" | "permanent" => {} // What they ask for is so anyway.
            word => bare(&mut said, word)?,
        }
    }
    Ok(said)
}

fn too_many(word: &str) -> Failure {
    Failure::usage(format!("there is a word too many: \"{word}\""))
}

impl Filter {
    fn read(&self) -> Result<Said, Failure> {
        let mut said = read(&self.words, |said, word| {
            match said.bridge.replace(word.to_owned()) {
                None => Ok(()),
                Some(_) => Err(too_many(word)),
            }
        })?;
        if self.port.is_some() {
            said.port.clone_from(&self.port);
        }
        if let Some(text) = &self.vlan {
            said.vlan = Some(vid("addresses", text)?);
        }
        if let Some(text) = &self.mac {
            said.mac = Some(mac(text)?);
        }
        Ok(said)
    }
}

impl Edit {
    fn read(&self) -> Result<(Mac, Said), Failure> {
        let mut said = read(&self.words, |said, word| {
            if said.mac.is_none() && word.contains(':') {
                said.mac = Some(mac(word)?);
            } else if said.port.is_none() {
                said.port = Some(word.to_owned());
            } else {
                return Err(too_many(word));
            }
            Ok(())
        })?;
        if self.bridge.is_some() {
            said.bridge.clone_from(&self.bridge);
        }
        if let Some(text) = &self.vlan {
            said.vlan = Some(vid("addresses", text)?);
        }
        match said.mac {
            Some(mac) => Ok((mac, said)),
            None => Err(Failure::usage("the address is missing")
                .help("vswctl fdb add 52:54:00:12:34:56 vm1 vlan 100")),
        }
    }
}

pub(crate) fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::Show {
            filter,
            iproute2,
            watch,
        } => {
            let said = filter.read()?;
            session.show_watched(&watch, |session| {
                let entries = entries(&said, session)?;
                Ok(show(&entries, iproute2))
            })
        }
        Command::Add { edit, local } => {
            let (mac, said) = edit.read()?;
            let Some(port) = said.port else {
                return Err(
                    Failure::usage(format!("the port for address {mac} is missing"))
                        .help(format!("vswctl fdb add {mac} PORT")),
                );
            };
            let ChangeArgs {
                dry_run,
                expect_generation,
            } = edit.change;
            let kind = local.then_some(StaticKind::Local);
            let request = FdbAdd {
                bridge: said.bridge,
                mac,
                vlan: said.vlan,
                port,
                kind,
                expect_generation,
                dry_run,
            };
            report(&session.call(request)?, dry_run, session)
        }
        Command::Del { edit } => {
            let (mac, said) = edit.read()?;
            let bridge = bridge_of(mac, &said, session)?;
            let ChangeArgs {
                dry_run,
                expect_generation,
            } = edit.change;
            let request = FdbDel {
                bridge,
                mac,
                vlan: said.vlan,
                expect_generation,
                dry_run,
            };
            report(&session.call(request)?, dry_run, session)
        }
        Command::Flush { filter, all } => {
            let Said {
                mac,
                bridge,
                port,
                vlan,
            } = filter.read()?;
            if !all && mac.is_none() && bridge.is_none() && port.is_none() && vlan.is_none() {
                return Err(Failure::usage("which addresses are to be forgotten?")
                    .help("vswctl fdb flush BRIDGE, or --port PORT, --vlan VLAN, --mac MAC; --all for all of all bridges"));
            }
            let reply = session.call(FdbFlush {
                bridge,
                port,
                vlan,
                mac,
            })?;
            let plural = if reply.flushed == 1 { "" } else { "es" };
            let text = format!("{} learned address{plural} forgotten\n", reply.flushed);
            session.show(&View::text(&reply, text, Vec::new()))
        }
        Command::Watch {
            words,
            port,
            present,
        } => {
            let filter = Filter {
                words,
                port,
                ..Filter::default()
            };
            let said = filter.read()?;
            watch(said, present, session)
        }
    }
}

/// All pages of the entries that match.
fn entries(said: &Said, session: &mut Session<'_, '_>) -> Result<Vec<FdbEntry>, Failure> {
    let request = FdbList {
        bridge: said.bridge.clone(),
        port: said.port.clone(),
        vlan: said.vlan,
        mac: said.mac,
    };
    let mut entries = Vec::new();
    session.stream(request, |_, page| {
        entries.extend(page.entries);
        Ok(true)
    })?;
    Ok(entries)
}

/// The bridge of a configured address, if the line does not say it.
fn bridge_of(mac: Mac, said: &Said, session: &mut Session<'_, '_>) -> Result<String, Failure> {
    if let Some(bridge) = &said.bridge {
        return Ok(bridge.clone());
    }
    if let Some(port) = &said.port {
        let state = session
            .call(GetState {
                bridge: None,
                port: Some(port.clone()),
            })?
            .state;
        if let Some(bridge) = state.ports.into_iter().find_map(|port| port.bridge) {
            return Ok(bridge);
        }
    }
    let wanted = Said {
        mac: Some(mac),
        vlan: said.vlan,
        ..Said::default()
    };
    let found = entries(&wanted, session)?;
    let mut bridges: BTreeSet<String> = found
        .into_iter()
        .filter(|entry| entry.kind != FdbKind::Dynamic)
        .map(|entry| entry.bridge)
        .collect();
    match (bridges.len(), bridges.pop_first()) {
        (1, Some(bridge)) => Ok(bridge),
        (_, None) => Err(Failure::not_found("address", &mac.to_string(), &[])
            .help("only configured addresses are deleted; learned ones are forgotten: vswctl fdb flush --mac MAC")),
        (_, Some(first)) => {
            let all: Vec<String> = std::iter::once(first).chain(bridges).collect();
            Err(Failure::usage(format!("address {mac} is configured on several bridges"))
                .fact("known", all.join(", "))
                .help("say which with --bridge"))
        }
    }
}

/// `dynamic`, `static` or `local`.
const fn kind(kind: FdbKind) -> &'static str {
    match kind {
        FdbKind::Dynamic => "dynamic",
        FdbKind::Static => "static",
        FdbKind::Local => "local",
    }
}

fn show(entries: &[FdbEntry], like_iproute2: bool) -> View {
    let names = entries.iter().map(|entry| entry.mac.clone()).collect();
    if like_iproute2 {
        return View {
            json: iproute2::fdb_json(entries),
            body: Body::Text(iproute2::fdb_text(entries)),
            names,
        };
    }
    let mut table = Table::new(&[
        "MAC", "VLAN>", "PORT", "KIND", "AGE>", "BRIDGE", "+USED>", "+HITS>", "+IP",
    ]);
    for entry in entries {
        table.row(vec![
            entry.mac.as_str().into(),
            or_dash(Some(entry.vlan).filter(|vlan| *vlan != 0)),
            Cell::new(Style::Strong, &entry.port),
            kind(entry.kind).into(),
            or_dash(entry.seen_seconds.map(units::duration)),
            entry.bridge.as_str().into(),
            or_dash(entry.used_seconds.map(units::duration)),
            or_dash(entry.hits),
            or_dash(Some(entry.ips.join(", ")).filter(|ips| !ips.is_empty())),
        ]);
    }
    View::table(&entries, table, names)
}

fn watch(said: Said, present: bool, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let request = FdbWatch {
        bridge: said.bridge,
        port: said.port,
    };
    session.stream(request, |session, event: FdbEvent| {
        if event.op == Some(FdbOp::Present) && !present {
            return Ok(true);
        }
        let text = if session.look.json {
            format!("{}\n", to_json(&event))
        } else {
            event_line(&event, &session.look)
        };
        session.print(&text)?;
        Ok(true)
    })
}

fn event_line(event: &FdbEvent, look: &Look) -> String {
    let mut text = String::new();
    if event.lost > 0 {
        let lost = format!(
            "({} changes were lost: this reader is too slow)",
            event.lost
        );
        text.push_str(&format!(
            "{}  {}\n",
            units::clock(&event.time),
            look.paint(Style::Warn, &lost)
        ));
    }
    if let (Some(op), Some(entry)) = (event.op, &event.entry) {
        let (style, word) = match op {
            FdbOp::Present => (Style::Dim, "present"),
            FdbOp::Learned => (Style::Good, "learned"),
            FdbOp::Moved => (Style::Warn, "moved"),
            FdbOp::Aged => (Style::Dim, "aged"),
            FdbOp::Flushed => (Style::Dim, "flushed"),
            FdbOp::Evicted => (Style::Warn, "evicted"),
            FdbOp::Added => (Style::Good, "added"),
            FdbOp::Removed => (Style::Dim, "removed"),
        };
        let from = event
            .from_port
            .as_ref()
            .map_or_else(String::new, |from| format!(" from {from}"));
        let vlan = if entry.vlan == 0 {
            String::new()
        } else {
            format!("vlan {} ", entry.vlan)
        };
        text.push_str(&format!(
            "{}  {}  {}\n",
            units::clock(&event.time),
            look.paint(style, &format!("{word:<7}")),
            crate::render::clean(&format!(
                "{} {vlan}dev {}{from} master {}",
                entry.mac, entry.port, entry.bridge
            )),
        ));
    }
    text
}

//! `vswctl vlan`: VLANs of ports, shown as `bridge vlan show` shows them and changed in its
//! words.
//!
//! `add` and `del` take our order (`vlan add PORT 100,200-299 --untagged`) and that of
//! iproute2 (`vlan add dev PORT vid 100 pvid untagged`). Implements features.md S-15.
#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "help texts are doc comments, and their brackets mean optional words"
)]

use vswitch_api::request::{AddVlan, DelVlan, GetState, StatsVlans};
use vswitch_api::types::{ChangeReply, Port, VlanRange, VlansReply};

use crate::change::{ChangeArgs, report, vid, vlan_set};
use crate::failure::Failure;
use crate::iproute2::{self, Layout, VlanOptions};
use crate::render::{Style, Table, View, or_dash};
use crate::session::{Session, Watch};
use crate::units;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// The VLANs of one port, or of all
    #[command(visible_alias = "list")]
    Show(Show),
    /// Put a port into VLANs: PORT VLANS, or dev PORT vid VLANS [pvid] [untagged]
    Add(Edit),
    /// Take a port out of VLANs: PORT VLANS, or dev PORT vid VLANS
    #[command(visible_aliases = ["rm", "delete"])]
    Del(Edit),
    /// Frames and bytes by VLAN, on bridges with vlan_stats
    Stats {
        /// Only of this port
        port: Option<String>,
        /// Only of this bridge
        #[arg(long, short)]
        bridge: Option<String>,
        /// Only of this VLAN
        #[arg(long)]
        vlan: Option<u16>,
        #[command(flatten)]
        watch: Watch,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// [dev] PORT, and vid VLAN for one VLAN only
    #[arg(value_name = "PORT")]
    words: Vec<String>,
    /// VLANs that differ in nothing as one range; also -compressvlans
    #[arg(long, alias = "compress")]
    compressvlans: bool,
    /// Which iproute2 to print like
    #[arg(long, value_enum, value_name = "LAYOUT", default_value_t)]
    layout: Layout,
    /// As of iproute2: -compressvlans with the legacy layout, colours with the current one
    #[arg(short = 'c', hide = true)]
    c: bool,
    /// Only ports of this bridge
    #[arg(long, short)]
    bridge: Option<String>,
    #[command(flatten)]
    watch: Watch,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Edit {
    /// PORT VLANS, in any order, or the words of iproute2
    #[arg(required = true, value_name = "WORD")]
    words: Vec<String>,
    /// Untagged frames enter this VLAN
    #[arg(long)]
    pvid: bool,
    /// Its frames leave without a tag
    #[arg(long)]
    untagged: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// What the words of a line say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    port: Option<String>,
    vlans: Option<String>,
    pvid: bool,
    untagged: bool,
}

/// Whether a bare word can be a set of VLANs: it begins with a digit and is made of them.
fn looks_like_vlans(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_digit() || ",-".contains(c))
}

fn read(words: &[String]) -> Result<Said, Failure> {
    let mut said = Said::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = |what: &str| {
            words
                .next()
                .cloned()
                .ok_or_else(|| Failure::usage(format!("behind \"{word}\" {what} is missing")))
        };
        let twice = match word.as_str() {
            "dev" => said.port.replace(value("the port")?),
            "vid" => said.vlans.replace(value("the VLAN")?),
            "pvid" => {
                said.pvid = true;
                None
            }
            "untagged" => {
                said.untagged = true;
                None
            }
            "tagged" | "master" | "self" => None, // What they ask for is so anyway.
            // Two bare words are PORT VLANS even if the port's name is a number.
            word if said.vlans.is_none() && looks_like_vlans(word) => {
                said.vlans.replace(word.to_owned())
            }
            word if said.port.is_none() => said.port.replace(word.to_owned()),
            word => {
                return Err(
                    Failure::usage(format!("there is a word too many: \"{word}\"")).help(EXAMPLES),
                );
            }
        };
        if let Some(first) = twice {
            return Err(Failure::usage(format!(
                "\"{first}\" and another after \"{word}\": one is too many"
            )));
        }
    }
    Ok(said)
}

const EXAMPLES: &str = "vswctl vlan add trunk1 100,200-299\nvswctl vlan add vm1 100 --pvid --untagged\nvswctl vlan add dev vm1 vid 100 pvid untagged";

impl Edit {
    /// Port, ranges, PVID, untagged.
    fn read(&self) -> Result<(String, Vec<VlanRange>, bool, bool), Failure> {
        let said = read(&self.words)?;
        let Some(port) = said.port else {
            return Err(Failure::usage("the port is missing").help(EXAMPLES));
        };
        let Some(vlans) = said.vlans else {
            return Err(
                Failure::usage(format!("the VLAN for port \"{port}\" is missing")).help(EXAMPLES),
            );
        };
        let set = vlan_set(&format!("port \"{port}\""), &vlans)?;
        if set.is_empty() {
            return Err(
                Failure::usage(format!("the VLAN for port \"{port}\" is missing")).help(EXAMPLES),
            );
        }
        let pvid = said.pvid || self.pvid;
        if pvid && set.len() > 1 {
            return Err(Failure::usage(format!(
                "the VLANs {set} cannot all be the PVID of port \"{port}\""
            ))
            .fact("why", "untagged frames enter exactly one VLAN")
            .help("give pvid with one VLAN, and the others in a command of their own"));
        }
        Ok((
            port,
            set.ranges().to_vec(),
            pvid,
            said.untagged || self.untagged,
        ))
    }
}

pub(crate) fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::Show(args) => show(&args, session),
        Command::Add(edit) => {
            let (port, ranges, pvid, untagged) = edit.read()?;
            each_range(
                &ranges,
                &edit.change,
                session,
                |range, expect_generation, dry_run, session| {
                    let (first, last) = (
                        range.first,
                        Some(range.last).filter(|last| *last != range.first),
                    );
                    session.call(AddVlan {
                        port: port.clone(),
                        first,
                        last,
                        pvid,
                        untagged,
                        expect_generation,
                        dry_run,
                    })
                },
            )
        }
        Command::Del(edit) => {
            let (port, ranges, ..) = edit.read()?;
            each_range(
                &ranges,
                &edit.change,
                session,
                |range, expect_generation, dry_run, session| {
                    let (first, last) = (
                        range.first,
                        Some(range.last).filter(|last| *last != range.first),
                    );
                    session.call(DelVlan {
                        port: port.clone(),
                        first,
                        last,
                        expect_generation,
                        dry_run,
                    })
                },
            )
        }
        Command::Stats {
            port,
            bridge,
            vlan,
            watch,
        } => session.show_watched(&watch, |session| {
            let request = StatsVlans {
                bridge: bridge.clone(),
                port: port.clone(),
                vlan,
            };
            Ok(stats(&session.call(request)?, session.look.headers))
        }),
    }
}

/// One request for each range, each based on the generation that the one before made.
fn each_range<'a, 'w>(
    ranges: &[VlanRange],
    change: &ChangeArgs,
    session: &mut Session<'a, 'w>,
    mut request: impl FnMut(
        VlanRange,
        Option<u64>,
        bool,
        &mut Session<'a, 'w>,
    ) -> Result<ChangeReply, Failure>,
) -> Result<(), Failure> {
    let mut expected = change.expect_generation;
    let mut whole = ChangeReply::default();
    for range in ranges {
        let reply = request(*range, expected, change.dry_run, session)?;
        whole.generation = reply.generation;
        whole.changes.extend(reply.changes);
        if !change.dry_run {
            expected = Some(reply.generation);
        }
    }
    report(&whole, change.dry_run, session)
}

fn show(args: &Show, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let mut said = read(&args.words)?;
    // Without `vid` a bare number is a port's name: there is nothing else to name.
    if said.port.is_none() && !args.words.iter().any(|word| word == "vid") {
        said.port = said.vlans.take();
    }
    let vid = said.vlans.map(|text| vid("ports", &text)).transpose()?;
    let options = VlanOptions {
        layout: args.layout,
        compress: args.compressvlans || (args.c && args.layout == Layout::Legacy),
        vid,
    };
    if args.c && args.layout == Layout::Current {
        session.look.color = true;
    }
    let watch = args.watch.clone();
    session.show_watched(&watch, |session| {
        let request = GetState {
            bridge: args.bridge.clone(),
            port: said.port.clone(),
        };
        let state = session.call(request)?.state;
        let ports: Vec<&Port> = state
            .ports
            .iter()
            .filter(|port| port.bridge.is_some())
            .collect();
        let mut text = iproute2::vlan_text(&ports, options, session.look.headers);
        if session.look.color {
            text = colored(&text, &ports, session);
        }
        Ok(View {
            json: iproute2::vlan_json(&ports, options),
            body: crate::render::Body::Text(text),
            names: ports.iter().map(|port| port.name.clone()).collect(),
        })
    })
}

/// The names of ports in colour, as the tool does with `-c`.
fn colored(text: &str, ports: &[&Port], session: &Session<'_, '_>) -> String {
    let line = |line: &str| {
        let name = line.split([' ', '\t']).next().unwrap_or_default();
        if !name.is_empty() && ports.iter().any(|port| port.name == name) {
            format!(
                "{}{}\n",
                session.look.paint(Style::Strong, name),
                &line[name.len()..]
            )
        } else {
            format!("{line}\n")
        }
    };
    text.lines().map(line).collect()
}

fn stats(reply: &VlansReply, remarks: bool) -> View {
    let mut table = Table::new(&[
        "BRIDGE",
        "PORT",
        "VLAN>",
        "IN>",
        "BYTES-IN>",
        "OUT>",
        "BYTES-OUT>",
    ]);
    for counters in &reply.vlans {
        table.row(vec![
            counters.bridge.as_str().into(),
            or_dash(counters.port.as_ref()),
            counters.vlan.into(),
            counters.frames_in.into(),
            units::bytes(counters.bytes_in).into(),
            counters.frames_out.into(),
            units::bytes(counters.bytes_out).into(),
        ]);
    }
    let names = reply
        .vlans
        .iter()
        .map(|counters| counters.vlan.to_string())
        .collect();
    if reply.vlans.is_empty() && remarks {
        let text = "nothing is counted by VLAN: vswctl bridge set BRIDGE vlan_stats=on\n";
        return View::text(reply, text.to_owned(), names);
    }
    View::table(reply, table, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(line: &str) -> Edit {
        let words = line.split(' ').map(str::to_owned).collect();
        Edit {
            words,
            pvid: false,
            untagged: false,
            change: ChangeArgs::default(),
        }
    }

    #[test]
    fn both_word_orders_say_the_same() {
        let ours = edit("vm1 100 pvid untagged").read().unwrap();
        let expected = ("vm1".to_owned(), vec![VlanRange::single(100)], true, true);
        assert_eq!(ours, expected);
        for line in [
            "dev vm1 vid 100 pvid untagged",
            "vid 100 dev vm1 untagged pvid master",
            "100 vm1 untagged pvid",
        ] {
            assert_eq!(edit(line).read().unwrap(), expected, "{line}");
        }
        assert_eq!(edit("dev 7 vid 100").read().unwrap().0, "7");
        assert_eq!(
            edit("100 7").read().unwrap().0,
            "7",
            "the second number can only be the port"
        );
        assert_eq!(edit("t 1,5-7").read().unwrap().1.len(), 2);
    }

    #[test]
    fn what_cannot_be_is_told_with_an_example() {
        for (line, what) in [
            ("vm1", "the VLAN for port \"vm1\" is missing"),
            ("vid 100", "the port is missing"),
            ("vm1 0", "\"0\" is no VLAN for port \"vm1\""),
            ("vm1 4095", "\"4095\" is no VLAN for port \"vm1\""),
            ("vm1 5000", "\"5000\" is no VLAN for port \"vm1\""),
            (
                "vm1 99999999",
                "\"99999999\" is no set of VLANs for port \"vm1\"",
            ),
            ("vm1 7-5", "\"7-5\" is no set of VLANs for port \"vm1\""),
            (
                "vm1 1-5 pvid",
                "the VLANs 1-5 cannot all be the PVID of port \"vm1\"",
            ),
            ("vm1 5 extra", "there is a word too many: \"extra\""),
            ("dev vm1 vid", "behind \"vid\" the VLAN is missing"),
            (
                "dev a dev b vid 1",
                "\"a\" and another after \"dev\": one is too many",
            ),
        ] {
            let failure = edit(line).read().unwrap_err();
            assert_eq!(failure.what, what);
            assert_eq!(failure.exit, crate::Exit::Usage);
        }
    }
}

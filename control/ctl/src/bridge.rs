//! `vswctl bridge`: learning domains, listed, shown, made, changed, taken away.

use vswitch_api::request::{AddBridge, DelBridge, GetState, SetBridge};
use vswitch_api::types::{Bridge, State};

use crate::change::{ChangeArgs, Options, report};
use crate::failure::Failure;
use crate::render::{Cell, Facts, Look, Style, Table, View, or_dash};
use crate::session::{Session, Watch};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// All bridges, one a line
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        watch: Watch,
    },
    /// One bridge, or all, in detail
    Show {
        /// Only this one
        bridge: Option<String>,
        #[command(flatten)]
        watch: Watch,
    },
    /// A new bridge
    Add {
        #[command(flatten)]
        edit: Edit,
        /// It is no error if the bridge is there already with these options
        #[arg(long)]
        may_exist: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Change options of a bridge
    Set {
        #[command(flatten)]
        edit: Edit,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Take a bridge away
    #[command(visible_aliases = ["rm", "delete"])]
    Del {
        /// The bridge
        bridge: String,
        /// Its ports and host ports go with it
        #[arg(long)]
        cascade: bool,
        /// It is no error if there is no such bridge
        #[arg(long)]
        if_exists: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// A bridge and its options.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Edit {
    /// The bridge
    bridge: String,
    /// The port towards the outside
    #[arg(long, value_name = "PORT")]
    uplink: Option<String>,
    /// VLANs of the uplink
    #[arg(long, value_name = "SET")]
    vlans: Option<String>,
    /// Bytes of payload, 68 to 9216
    #[arg(long, value_name = "BYTES")]
    mtu: Option<String>,
    /// The bridge's own address
    #[arg(long, value_name = "MAC")]
    mac: Option<String>,
    /// How long learned addresses live: 300s, never, off
    #[arg(long, value_name = "TIME")]
    ageing: Option<String>,
    /// Whether VLANs are told apart: on, off
    #[arg(long, value_name = "ON|OFF")]
    vlan_filtering: Option<String>,
    /// The VLAN of ports that say nothing; 0: none
    #[arg(long, value_name = "VLAN")]
    default_pvid: Option<String>,
    /// The most addresses remembered
    #[arg(long, value_name = "N")]
    fdb_max: Option<String>,
    /// Any option of [bridge.NAME] in the configuration; KEY= puts it back to its default
    #[arg(value_name = "KEY=VALUE")]
    options: Vec<String>,
}

impl Edit {
    fn options(&self) -> Result<Options, Failure> {
        let mut options = Options::default();
        let given = [
            ("uplink", &self.uplink),
            ("vlans", &self.vlans),
            ("mtu", &self.mtu),
            ("mac", &self.mac),
            ("ageing", &self.ageing),
            ("vlan_filtering", &self.vlan_filtering),
            ("default_pvid", &self.default_pvid),
            ("fdb_max", &self.fdb_max),
        ];
        for (key, value) in given {
            options.set(key, value.as_deref())?;
        }
        options.words(&self.options)?;
        Ok(options)
    }
}

pub(crate) fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::List { watch } => session.show_watched(&watch, |session| {
            let state = session.call(GetState::default())?.state;
            Ok(list(&state))
        }),
        Command::Show { bridge, watch } => session.show_watched(&watch, |session| {
            let state = session
                .call(GetState {
                    bridge: bridge.clone(),
                    port: None,
                })?
                .state;
            Ok(show(&state, &session.look))
        }),
        Command::Add {
            edit,
            may_exist,
            change:
                ChangeArgs {
                    dry_run,
                    expect_generation,
                },
        } => {
            let config = edit.options()?.into_value();
            let request = AddBridge {
                name: edit.bridge,
                config,
                may_exist,
                expect_generation,
                dry_run,
            };
            report(&session.call(request)?, dry_run, session)
        }
        Command::Set {
            edit,
            change:
                ChangeArgs {
                    dry_run,
                    expect_generation,
                },
        } => {
            let options = edit.options()?;
            if options.is_empty() {
                return Err(nothing_to_set("bridge", &edit.bridge));
            }
            let request = SetBridge {
                name: edit.bridge,
                config: options.into_value(),
                expect_generation,
                dry_run,
            };
            report(&session.call(request)?, dry_run, session)
        }
        Command::Del {
            bridge,
            cascade,
            if_exists,
            change:
                ChangeArgs {
                    dry_run,
                    expect_generation,
                },
        } => {
            let request = DelBridge {
                name: bridge,
                cascade,
                if_exists,
                expect_generation,
                dry_run,
            };
            report(&session.call(request)?, dry_run, session)
        }
    }
}

/// `set` without an option.
pub(crate) fn nothing_to_set(noun: &str, name: &str) -> Failure {
    Failure::usage(format!("nothing is said to set on {noun} \"{name}\""))
        .help(format!("vswctl {noun} set {name} mtu=9000"))
        .help(format!("vswctl {noun} set --help lists the options"))
}

fn vlans_told_apart(bridge: &Bridge) -> &'static str {
    if bridge.vlan_filtering { "on" } else { "off" }
}

fn names(state: &State) -> Vec<String> {
    state
        .bridges
        .iter()
        .map(|bridge| bridge.name.clone())
        .collect()
}

fn list(state: &State) -> View {
    let mut table = Table::new(&[
        "NAME",
        "VLANS",
        "PVID>",
        "MTU>",
        "PORTS>",
        "FDB>",
        "UPLINK",
        "+MAC",
        "+AGEING",
        "+FDB-MAX>",
        "+PROTECTED",
    ]);
    for bridge in &state.bridges {
        table.row(vec![
            Cell::new(Style::Strong, &bridge.name),
            vlans_told_apart(bridge).into(),
            or_dash(Some(bridge.default_pvid).filter(|pvid| *pvid != 0)),
            bridge.mtu.into(),
            bridge.ports.len().into(),
            bridge.fdb_entries.into(),
            or_dash(bridge.uplink.as_ref()),
            bridge.mac.as_str().into(),
            bridge.ageing.as_str().into(),
            bridge.fdb_max.into(),
            if bridge.protected { "yes" } else { "no" }.into(),
        ]);
    }
    View::table(&state.bridges, table, names(state))
}

fn show(state: &State, look: &Look) -> View {
    let mut text = String::new();
    for bridge in &state.bridges {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&look.paint(Style::Strong, &bridge.name));
        text.push('\n');
        let mut facts = Facts::default();
        facts.add("address", bridge.mac.as_str());
        facts.add("mtu", bridge.mtu);
        facts.add("vlan filtering", vlans_told_apart(bridge));
        facts.add(
            "default pvid",
            if bridge.default_pvid == 0 {
                "none".to_owned()
            } else {
                bridge.default_pvid.to_string()
            },
        );
        facts.add("ageing", bridge.ageing.as_str());
        facts.add(
            "addresses",
            format!("{} of {}", bridge.fdb_entries, bridge.fdb_max),
        );
        facts.maybe("uplink", bridge.uplink.as_deref());
        if bridge.protected {
            facts.add("protected", "yes: only the configuration file changes it");
        }
        facts.add(
            "ports",
            if bridge.ports.is_empty() {
                "none".to_owned()
            } else {
                bridge.ports.join(", ")
            },
        );
        for row in &bridge.attached_vlans {
            let vlans = match row.last {
                last if last == row.first => format!("vlan {last}"),
                last => format!("vlans {}-{last}", row.first),
            };
            facts.add(&vlans, format!("for {}", row.owners.join(", ")));
        }
        text.push_str(&facts.text(look, "  "));
    }
    if state.bridges.is_empty() {
        text.push_str("there is no bridge: vswctl bridge add NAME\n");
    }
    View::text(&state.bridges, text, names(state))
}

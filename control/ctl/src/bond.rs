//! `vswctl bond`: several ports that are one towards the bridge, listed, shown, made, changed.

mod proc;
mod view;

use vswitch_api::hex;
use vswitch_api::request::{
    BondAdd, BondAddMember, BondDel, BondDelMember, BondHash, BondList, BondSet, BondSetActive,
};
use vswitch_api::types::{BondsReply, HashReply};

use crate::change::{ChangeArgs, Options, report};
use crate::failure::Failure;
use crate::frame_text;
use crate::render::View;
use crate::session::{Session, Watch};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// All bonds, one a line
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        watch: Watch,
    },
    /// One bond, or all: state, members with what each does and why, options, and what is probably wrong
    Show {
        /// Only this one
        bond: Option<String>,
        /// As the kernel's driver tells it in /proc/net/bonding
        #[arg(long)]
        proc: bool,
        #[command(flatten)]
        watch: Watch,
    },
    /// A new bond
    Add {
        #[command(flatten)]
        edit: Edit,
        /// The bridge that it is put on, unless it is the uplink of one
        #[arg(long, short)]
        bridge: Option<String>,
        /// It is no error if the bond is there already with these options
        #[arg(long)]
        may_exist: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Change options of a bond
    Set {
        #[command(flatten)]
        edit: Edit,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Take a bond away; its members' devices are given back
    #[command(visible_aliases = ["rm", "delete"])]
    Del {
        /// The bond
        bond: String,
        /// It is no error if there is no such bond
        #[arg(long)]
        if_exists: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Put a port, or a network device, into a bond
    AddMember {
        /// The bond
        bond: String,
        /// The member
        member: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Take a member out of a bond
    DelMember {
        /// The bond
        bond: String,
        /// The member
        member: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Make a member the active one, until a link or the configuration changes (active-backup, balance-tlb,
    /// balance-alb)
    SetActive {
        /// The bond
        bond: String,
        /// The member
        member: String,
    },
    /// Which member would send a frame
    #[command(after_help = frame_text::GRAMMAR)]
    Hash {
        /// The bond
        bond: String,
        /// The frame as it leaves: hex, or words; see below
        #[arg(required = true, value_name = "FRAME")]
        frame: Vec<String>,
        /// The VLAN of a tag that is put before it on the link
        #[arg(long)]
        vlan: Option<u16>,
        /// As if this xmit_hash_policy were in force
        #[arg(long)]
        policy: Option<String>,
    },
}

/// A bond and its options.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Edit {
    /// The bond
    bond: String,
    /// How members share the traffic, by the kernel's name or number
    #[arg(long, short)]
    mode: Option<String>,
    /// Its members, in the order that counts where none is preferred
    #[arg(long, value_name = "A,B")]
    members: Option<String>,
    /// The member to prefer
    #[arg(long, value_name = "MEMBER")]
    primary: Option<String>,
    /// Any option of [bond.NAME] in the configuration, such as lacp_rate=fast or prio=eth0:5,eth1:7;
    /// KEY= puts it back to its default
    #[arg(value_name = "KEY=VALUE")]
    options: Vec<String>,
}

impl Edit {
    fn options(&self) -> Result<Options, Failure> {
        let mut options = Options::default();
        options.set("mode", self.mode.as_deref())?;
        options.set("members", self.members.as_deref())?;
        options.set("primary", self.primary.as_deref())?;
        options.words(&self.options)?;
        Ok(options)
    }
}

/// The bonds, or only one.
pub(crate) fn bonds(
    bond: Option<&str>,
    session: &mut Session<'_, '_>,
) -> Result<BondsReply, Failure> {
    session.call(BondList {
        bond: bond.map(str::to_owned),
    })
}

pub(crate) fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::List { watch } => {
            session.show_watched(&watch, |session| Ok(view::list(&bonds(None, session)?)))
        }
        Command::Show { bond, proc, watch } => session.show_watched(&watch, |session| {
            let reply = bonds(bond.as_deref(), session)?;
            if proc {
                return Ok(proc::view(&reply));
            }
            view::show(&reply, &session.look)
        }),
        Command::SetActive { bond, member } => {
            let request = BondSetActive {
                bond: bond.clone(),
                member: member.clone(),
            };
            let reply = session.call(request)?;
            let before = match &reply.before {
                Some(before) if *before != member => format!(", no longer by {before}"),
                _ => String::new(),
            };
            let text = crate::render::clean(&format!("{bond} goes by {member} now{before}"));
            session.show(&View::text(&reply, format!("{text}\n"), vec![member]))
        }
        Command::Hash {
            bond,
            frame,
            vlan,
            policy,
        } => {
            let frame_hex = hex::encode(&frame_text::parse(&frame.join(" "))?);
            let request = BondHash {
                bond,
                frame_hex,
                vlan,
                policy,
            };
            let reply = session.call(request)?;
            session.show(&hash(&reply))
        }
        other => change(other, session),
    }
}

/// The commands that change the configuration.
fn change(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::Add {
            edit,
            bridge,
            may_exist,
            change:
                ChangeArgs {
                    dry_run,
                    expect_generation,
                },
        } => {
            let config = edit.options()?.into_value();
            let request = BondAdd {
                name: edit.bond,
                config,
                bridge,
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
                let name = &edit.bond;
                return Err(
                    Failure::usage(format!("nothing is said to set on bond \"{name}\""))
                        .help(format!("vswctl bond set {name} --mode active-backup"))
                        .help("vswctl bond set --help lists the options"),
                );
            }
            let request = BondSet {
                name: edit.bond,
                config: options.into_value(),
                expect_generation,
                dry_run,
            };
            report(&session.call(request)?, dry_run, session)
        }
        Command::Del {
            bond,
            if_exists,
            change:
                ChangeArgs {
                    dry_run,
                    expect_generation,
                },
        } => {
            let request = BondDel {
                name: bond,
                if_exists,
                expect_generation,
                dry_run,
            };
            report(&session.call(request)?, dry_run, session)
        }
        Command::AddMember {
            bond,
            member,
            change:
                ChangeArgs {
                    dry_run,
                    expect_generation,
                },
        } => {
            let request = BondAddMember {
                bond,
                member,
                expect_generation,
                dry_run,
            };
            report(&session.call(request)?, dry_run, session)
        }
        Command::DelMember {
            bond,
            member,
            change:
                ChangeArgs {
                    dry_run,
                    expect_generation,
                },
        } => {
            let request = BondDelMember {
                bond,
                member,
                expect_generation,
                dry_run,
            };
            report(&session.call(request)?, dry_run, session)
        }
        // Those that change nothing were answered by `run`.
        Command::List { .. }
        | Command::Show { .. }
        | Command::SetActive { .. }
        | Command::Hash { .. } => Ok(()),
    }
}

/// Which member sends a frame, in one line.
fn hash(reply: &HashReply) -> View {
    let members = reply.members.join(", ");
    let text = match reply.chosen.as_str() {
        "hash" => {
            let number =
                |value: Option<u32>| value.map_or_else(|| "?".to_owned(), |n| n.to_string());
            format!(
                "{members}: hash {:#010x} ({}) falls on bucket {} of {}",
                reply.hash.unwrap_or_default(),
                reply.policy.as_deref().unwrap_or("?"),
                number(reply.bucket),
                number(reply.buckets),
            )
        }
        "active" => format!("{members}: it is the active member"),
        "turn" => format!("{members}: each in its turn"),
        "all" => format!("{members}: a copy by each"),
        _ => "nobody: the bond is down".to_owned(),
    };
    let text = crate::render::clean(&text);
    View::text(reply, format!("{text}\n"), reply.members.clone())
}

//! `vswctl attach`, `detach`, `attachment`: ports that container runtimes own, by hand.
//!
//! The CNI plugin makes devices and attaches them; here a device that is there already is attached, what a
//! runtime left behind is taken away, and all of it is listed.

use vswitch_api::request::{Attach, CheckAttachment, CollectGarbage, Detach, ListAttachments};
use vswitch_api::types::{AttachMode, Attached, Attachment};

use crate::change::Options;
use crate::failure::{Exit, Failure};
use crate::render::{Cell, Style, Table, View, or_dash};
use crate::session::{Session, Watch};

/// `NETWORK/CONTAINER/IFNAME`.
fn attachment(text: &str) -> Result<Attachment, String> {
    let parts: Vec<&str> = text.split('/').collect();
    match parts[..] {
        [network, container, ifname] if parts.iter().all(|part| !part.is_empty()) => {
            Ok(Attachment {
                network: network.to_owned(),
                container_id: container.to_owned(),
                ifname: ifname.to_owned(),
            })
        }
        _ => Err(
            "an attachment is written NETWORK/CONTAINER/IFNAME, such as vlan100/3f2a/net1"
                .to_owned(),
        ),
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct AttachArgs {
    /// Who owns the port: NETWORK/CONTAINER/IFNAME
    #[arg(value_parser = attachment)]
    attachment: Attachment,
    /// The bridge
    #[arg(long, short)]
    bridge: String,
    /// The host's end of a veth pair, whose other end is in the container
    #[arg(long)]
    device: String,
    /// Access port: the one VLAN
    #[arg(long, value_name = "VLAN")]
    vlan: Option<String>,
    /// Any option of [port.NAME] in the configuration
    #[arg(value_name = "KEY=VALUE")]
    options: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DetachArgs {
    /// Who owns the port: NETWORK/CONTAINER/IFNAME
    #[arg(value_parser = attachment)]
    attachment: Attachment,
    /// It is no error if nothing is attached
    #[arg(long)]
    if_exists: bool,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// All attachments, one a line
    #[command(visible_alias = "ls")]
    List {
        /// Only those of this network
        #[arg(long)]
        network: Option<String>,
        #[command(flatten)]
        watch: Watch,
    },
    /// Whether an attachment has its port and the port forwards; exit code 1 if not
    Check {
        /// Who owns the port: NETWORK/CONTAINER/IFNAME
        #[arg(value_parser = attachment)]
        attachment: Attachment,
    },
    /// Detach all of a network but those that are named
    Gc {
        /// The network
        network: String,
        /// What stays: CONTAINER/IFNAME
        #[arg(value_name = "CONTAINER/IFNAME")]
        valid: Vec<String>,
        /// Really, although nothing is named: everything of the network goes
        #[arg(long)]
        all: bool,
    },
}

pub(crate) fn attach(args: AttachArgs, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let mut options = Options::default();
    options.set("bridge", Some(&args.bridge))?;
    options.set("vlan", args.vlan.as_deref())?;
    options.words(&args.options)?;
    let reply = session.call(Attach {
        attachment: args.attachment.clone(),
        mode: AttachMode::Veth,
        device: args.device,
        config: options.into_value(),
        ..Attach::default()
    })?;
    let did = if reply.created { "attached" } else { "changed" };
    let mut text = format!("{did}: {} has port {}\n", args.attachment, reply.port);
    for warning in &reply.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    let names = vec![reply.port.clone()];
    session.show(&View::text(&reply, text, names))
}

pub(crate) fn detach(args: DetachArgs, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let owner = args.attachment.to_string();
    let reply = session.call(Detach {
        attachment: args.attachment,
    })?;
    if !reply.detached && !args.if_exists {
        let what = format!("nothing is attached for {owner}");
        return Err(Failure::new(Exit::Failed, "vswctl.NotAttached", what)
            .help("vswctl attachment list shows what is"));
    }
    let did = if reply.detached {
        "detached"
    } else {
        "was not attached"
    };
    session.show(&View::text(&reply, format!("{did}: {owner}\n"), Vec::new()))
}

pub(crate) fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::List { network, watch } => session.show_watched(&watch, |session| {
            let reply = session.call(ListAttachments {
                network: network.clone(),
            })?;
            let names = reply
                .attachments
                .iter()
                .map(|one| one.port.clone())
                .collect();
            Ok(View::table(&reply, table(&reply.attachments), names))
        }),
        Command::Check { attachment } => {
            let owner = attachment.to_string();
            let reply = session.call(CheckAttachment { attachment })?;
            if let Some(first) = reply.problems.first() {
                let mut failure = Failure::new(Exit::Failed, "vswctl.Attachment", first.clone());
                for problem in &reply.problems[1..] {
                    failure = failure.fact("also", problem.clone());
                }
                return Err(failure);
            }
            session.show(&View::text(&reply, format!("ok: {owner}\n"), Vec::new()))
        }
        Command::Gc {
            network,
            valid,
            all,
        } => {
            if valid.is_empty() && !all {
                return Err(Failure::usage(format!(
                    "no attachment is named that stays: everything of network \"{network}\" would go"
                ))
                .help("name what stays, or add --all"));
            }
            let valid: Result<Vec<Attachment>, String> = valid
                .iter()
                .map(|word| attachment(&format!("{network}/{word}")))
                .collect();
            let valid = valid.map_err(Failure::usage)?;
            let reply = session.call(CollectGarbage { network, valid })?;
            let mut text = String::new();
            for removed in &reply.removed {
                text.push_str(&format!("detached: {removed}\n"));
            }
            for failed in &reply.failed {
                text.push_str(&format!("failed: {failed}\n"));
            }
            text.push_str(&format!("done: {} detached\n", reply.removed.len()));
            let names = reply.removed.iter().map(ToString::to_string).collect();
            session.show(&View::text(&reply, text, names))
        }
    }
}

fn table(attachments: &[Attached]) -> Table {
    let mut table = Table::new(&[
        "NETWORK",
        "CONTAINER",
        "IFNAME",
        "PORT",
        "BRIDGE",
        "MODE",
        "STATE",
        "+DEVICE",
        "+NETNS",
    ]);
    for one in attachments {
        let state = match &one.reason {
            Some(reason) if one.state != "up" => format!("{} ({reason})", one.state),
            _ => one.state.clone(),
        };
        table.row(vec![
            Cell::new(Style::Strong, &one.attachment.network),
            one.attachment.container_id.as_str().into(),
            one.attachment.ifname.as_str().into(),
            one.port.as_str().into(),
            one.bridge.as_str().into(),
            one.mode.as_str().into(),
            Cell::new(
                if one.state == "up" {
                    Style::Good
                } else {
                    Style::Bad
                },
                state,
            ),
            one.device.as_str().into(),
            or_dash(one.netns.as_ref()),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attachment_has_three_parts() {
        assert_eq!(
            attachment("n/c/i").map(|a| a.to_string()),
            Ok("n/c/i".to_owned())
        );
        for wrong in ["", "n", "n/c", "n/c/", "/c/i", "n/c/i/x"] {
            assert!(attachment(wrong).is_err(), "{wrong}");
        }
    }
}

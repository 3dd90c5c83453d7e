//! What would become of a frame, in words: the steps of `vswitch_core::explain` with names of ports and
//! the line of the configuration that decided (O-03).
//!
//! The passes that forward also explain: nothing here decides anything.

use super::Controller;
use vswitch_api::ApiError;
use vswitch_api::request::Trace;
use vswitch_api::text::path;
use vswitch_api::types::{TraceCopy, TraceReply, TraceStep};
use vswitch_base::{Instant, PortIndex, Tag, Tci, Tpid, Vid};
use vswitch_core::bond::Chosen;
use vswitch_core::explain::{Skipped, Step, explain};
use vswitch_core::fdb::{EntryKind, Learned};
use vswitch_core::frame::{Frame, VnetHdr};
use vswitch_core::verdict::{DropReason, FloodClass, Verdict};

impl Controller {
    pub(super) fn trace(&self, trace: &Trace, now: Instant) -> Result<TraceReply, ApiError> {
        self.known(None, Some(&trace.port))?;
        let bytes = trace.frame()?;
        let Some(ingress) = self.port_index(&trace.port) else {
            return Err(ApiError::not_found("port", &trace.port, std::iter::empty()));
        };
        let pcp = u16::from(trace.pcp.unwrap_or(0) & 7) << 13;
        let stripped = trace.vlan.map(|vlan| Tag {
            tpid: Tpid::Dot1q,
            tci: Tci(pcp | vlan & 0xfff),
        });
        let frame = Frame {
            bytes: &bytes,
            stripped,
            offload: VnetHdr::NONE,
        };
        let explained = explain(&self.snapshot, ingress, &frame, now);
        let name = |index: PortIndex| self.port_name(index).unwrap_or("?").to_owned();
        let class = explained.classified;
        let vid = class.and_then(|c| c.vid);
        let mut reply = TraceReply::default();
        let mut add = |stage: &str, object: Option<String>, text: String, reason: Option<&str>| {
            let reason = reason.map(str::to_owned);
            reply.steps.push(TraceStep {
                stage: stage.to_owned(),
                object,
                text,
                reason,
            });
        };
        let mut copies = Vec::new();
        for step in &explained.steps {
            match step {
                Step::NoBridge => add(
                    "in",
                    Some(trace.port.clone()),
                    "the port is not attached to its bridge now".to_owned(),
                    None,
                ),
                Step::Admitted { vid, tag } => {
                    let line = self.vlan_line(&trace.port);
                    let text = match (vid, tag) {
                        (None, _) => "the bridge does not filter VLANs".to_owned(),
                        (Some(vid), None) => format!("untagged: VLAN {vid} (pvid, {line})"),
                        (Some(vid), Some(tag)) if tag.vid_bits() == 0 => {
                            let pcp = tag.pcp().get();
                            format!("priority tag {pcp}: VLAN {vid} (pvid, {line})")
                        }
                        (Some(vid), Some(_)) => format!("tagged: VLAN {vid} ({line})"),
                    };
                    add("in", Some(trace.port.clone()), text, None);
                }
                Step::Learn { learned } => {
                    let source = class.map(|c| c.src.to_string());
                    add("learn", source, self.learned_text(*learned), None);
                }
                Step::Group { class: kind } => {
                    let text = match kind {
                        FloodClass::Broadcast => "broadcast: flood",
                        _ => "multicast: flood",
                    };
                    add(
                        "find",
                        class.map(|c| c.dst.to_string()),
                        text.to_owned(),
                        None,
                    );
                }
                Step::Unknown => {
                    let vlan = vid.map_or_else(String::new, |vid| format!(" in VLAN {vid}"));
                    let text = format!("unknown{vlan}: flood");
                    add("find", class.map(|c| c.dst.to_string()), text, None);
                }
                Step::Known { port, kind } => {
                    let kind = match kind {
                        EntryKind::Learned => "learned",
                        EntryKind::Static => "static",
                        EntryKind::Local => "the switch's own",
                    };
                    let text = format!("behind {} ({kind})", name(*port));
                    add("find", class.map(|c| c.dst.to_string()), text, None);
                }
                Step::Out { egress } => {
                    let tag = vid.filter(|_| egress.tagged).map(Vid::get);
                    let text =
                        tag.map_or_else(|| "untagged".to_owned(), |tag| format!("tagged {tag}"));
                    add("out", Some(name(egress.port)), text, None);
                    copies.push(TraceCopy {
                        port: name(egress.port),
                        tag,
                    });
                }
                Step::By {
                    member,
                    why,
                    source,
                } => {
                    let text = match why {
                        Chosen::Active => "its active member",
                        Chosen::Turn => "a member in its turn",
                        Chosen::Hash => "the member of the frame's hash",
                        Chosen::Steered => "the member with the port's queue_mapping",
                        Chosen::All => "a copy by each member",
                    };
                    let text = match source {
                        Some(source) => format!("{text}, as from {source}"),
                        None => text.to_owned(),
                    };
                    add("by", Some(name(*member)), text, None);
                }
                Step::Skip { port, why } => {
                    let (text, reason) = match why {
                        Skipped::Ingress => ("it came from there", "same-port"),
                        Skipped::Isolated => ("both ports are isolated", "isolated"),
                        Skipped::FloodOff => {
                            ("this kind of traffic is not flooded there", "flood-off")
                        }
                        Skipped::Oversize => ("larger than the port's MTU", "tx-oversize"),
                        Skipped::Policed => ("no room now at the port's rate", "policed-out"),
                    };
                    add("skip", Some(name(*port)), text.to_owned(), Some(reason));
                }
            }
        }
        let (verdict, reason) = match explained.verdict {
            Verdict::Forward(_) => ("forward", None),
            Verdict::Flood(_) => ("flood", None),
            Verdict::Punt(reason) => {
                add(
                    "punt",
                    Some("the control side".to_owned()),
                    reason.meaning().to_owned(),
                    Some(reason.name()),
                );
                ("punt", Some(reason.name()))
            }
            Verdict::Drop(reason) => {
                let text = match self.line_of(reason, &trace.port) {
                    Some(line) => format!("{} ({line})", reason.meaning()),
                    None => reason.meaning().to_owned(),
                };
                add("drop", None, text, Some(reason.name()));
                ("drop", Some(reason.name()))
            }
        };
        reply.verdict = verdict.to_owned();
        reply.reason = reason.map(str::to_owned);
        reply.copies = copies;
        Ok(reply)
    }

    fn learned_text(&self, learned: Learned) -> String {
        match learned {
            Learned::Known => "known here".to_owned(),
            Learned::New => "new: would be learned here".to_owned(),
            Learned::Moved { from } => {
                format!(
                    "known behind {}: would move here",
                    self.port_name(from).unwrap_or("?")
                )
            }
            Learned::Held { by } => {
                format!(
                    "behind {}, and stays there: no word from it that it moved",
                    self.port_name(by).unwrap_or("?")
                )
            }
            Learned::Pinned => "configured behind another port: stays there".to_owned(),
            Learned::OwnAddress => "the switch's own address: not learned".to_owned(),
            Learned::PortLimit => "not learned: the port has mac_limit addresses".to_owned(),
            Learned::Busy => "not learned this time".to_owned(),
            Learned::NoRoom => "not learned: no room beside static entries".to_owned(),
        }
    }

    /// The line of the configuration that puts a port into its VLANs.
    fn vlan_line(&self, name: &str) -> String {
        let bridge = self.config.bridge_of(name).unwrap_or_default();
        let own = |kind: &str, keys: &[(&str, bool)]| {
            let said = keys.iter().find(|(_, said)| *said);
            said.map(|(key, _)| path(&[kind, name, key]))
        };
        let said = match (self.config.port.get(name), self.config.host.get(name)) {
            (Some(port), _) => own(
                "port",
                &[
                    ("vlans", port.vlans.is_some()),
                    ("vlan", port.vlan.is_some()),
                    ("native_vlan", port.native_vlan.is_some()),
                    ("trunk", !port.trunk.is_empty()),
                ],
            ),
            (None, Some(host)) => own(
                "host",
                &[
                    ("vlans", host.vlans.is_some()),
                    ("vlan", host.vlan.is_some()),
                ],
            ),
            (None, None) => None,
        };
        let uplink = self
            .config
            .uplink_of(name)
            .and_then(|bridge| self.config.bridge.get(bridge));
        said.unwrap_or_else(|| {
            let listed = uplink.is_some_and(|bridge| !bridge.vlans.is_empty());
            path(&[
                "bridge",
                bridge,
                if listed { "vlans" } else { "default_pvid" },
            ])
        })
    }

    /// The line of the configuration behind a drop at the port a frame came in by, where there is one.
    fn line_of(&self, reason: DropReason, name: &str) -> Option<String> {
        let is_port = self.config.port.contains_key(name);
        let key = match reason {
            DropReason::NoPvid | DropReason::VlanNotAllowed => return Some(self.vlan_line(name)),
            DropReason::BpduContained => "bpdu",
            DropReason::ReservedAddress => "group_fwd_mask",
            DropReason::FrameTypeRefused => "accept_frames",
            DropReason::MacLimit => "mac_limit",
            DropReason::Held => "hold_until_guest",
            DropReason::MacSpoof => "guard_macs",
            DropReason::ArpSpoof
            | DropReason::NdSpoof
            | DropReason::IpSpoof
            | DropReason::DhcpServer
            | DropReason::RaGuard => "guard",
            DropReason::PolicedIn => "ingress_rate",
            DropReason::SamePort => "hairpin",
            DropReason::Isolated => "isolated",
            DropReason::PortLearning => "state",
            _ => return None,
        };
        is_port.then(|| path(&["port", name, key]))
    }
}

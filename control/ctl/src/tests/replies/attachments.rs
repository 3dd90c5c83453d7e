//! What the daemon of the tests answers about attachments.

use serde_json::{Value, json};
use vswitch_api::error::ApiError;
use vswitch_api::types::{
    AttachReply, Attached, Attachment, AttachmentsReply, CheckReply, GarbageReply,
};

use super::{BRIDGES, known};
use crate::render::to_json;

fn one(container: &str, ifname: &str, mode: &str) -> Attached {
    let attachment = Attachment {
        network: "vlan100".into(),
        container_id: container.into(),
        ifname: ifname.into(),
    };
    Attached {
        port: attachment.port_name(),
        bridge: "mgmt-br".into(),
        mode: mode.into(),
        device: ifname.into(),
        netns: Some(format!("/var/run/netns/{container}")),
        state: "up".into(),
        reason: None,
        attachment,
    }
}

/// The answers of `io.vswitch.Port`.
pub(super) fn answer(verb: &str, parameters: &Value) -> Result<Vec<Value>, ApiError> {
    let mut lost = one("77aa", "net1", "veth");
    lost.netns = None;
    lost.device = lost.port.clone();
    (lost.state, lost.reason) = ("absent".into(), Some("device \"pod0\" has gone".into()));
    let there = vec![one("3f2a", "net1", "tap"), lost];
    let named: Option<Attachment> = serde_json::from_value(parameters["attachment"].clone()).ok();
    let found = there
        .iter()
        .find(|row| Some(&row.attachment) == named.as_ref());
    Ok(vec![match verb {
        "List" => to_json(&AttachmentsReply { attachments: there }),
        "Attach" => {
            let bridge = parameters["config"]["bridge"].as_str().unwrap_or_default();
            known(&BRIDGES, "bridge", bridge)?;
            to_json(&AttachReply {
                port: named.unwrap_or_default().port_name(),
                created: found.is_none(),
                mtu: 1500,
                warnings: vec!["VLAN 1 stays in this switch".into()],
                ..AttachReply::default()
            })
        }
        "Detach" => json!({ "detached": found.is_some() }),
        "Check" => {
            let problems: Vec<String> = match found {
                Some(row) if row.state == "up" => Vec::new(),
                Some(row) => vec![format!("port {} is {}", row.port, row.state)],
                None => vec!["it is not attached".into()],
            };
            to_json(&CheckReply {
                ok: problems.is_empty(),
                problems,
            })
        }
        _ => to_json(&GarbageReply {
            removed: vec![there[1].attachment.clone()],
            failed: Vec::new(),
        }),
    }])
}

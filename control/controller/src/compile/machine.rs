//! What the machine shows that keeps a port from working: whose device it is, and what is there already.

use crate::effect::{OpenKind, OpenSpec};
use crate::facts::Facts;
use vswitch_api::config::ConfigError;
use vswitch_api::text::path;

/// Why the machine does not let this port work, if what is known of it says so; with the port's name.
#[must_use]
pub fn blocked(
    kind: &str,
    name: &str,
    spec: &OpenSpec,
    facts: &Facts,
) -> Option<(String, ConfigError)> {
    if spec.netns().is_some() {
        return None;
    }
    let link = facts.named(spec.device_name()?)?;
    let error = |key: &str, message: String, hint: String| {
        let at = if key.is_empty() {
            path(&[kind, name])
        } else {
            path(&[kind, name, key])
        };
        Some((name.to_owned(), ConfigError::new(at, message).hint(hint)))
    };
    let device = &link.name;
    match &spec.kind {
        OpenKind::Nic { .. } => {
            let key = if device == name { "" } else { "device" };
            if let Some(master) = &link.master {
                return error(
                    key,
                    format!("device \"{device}\" is a port of the kernel's \"{master}\""),
                    format!("take it out first: ip link set dev {device} nomaster"),
                );
            }
            if link.loopback {
                let hint = "name a NIC, a veth end or a TAP";
                return error(
                    key,
                    format!("\"{device}\" is the loopback device"),
                    hint.to_owned(),
                );
            }
            None
        }
        OpenKind::Tap { .. } | OpenKind::Host => {
            let what = link.kind.as_deref().unwrap_or("hardware");
            if what == "tun" {
                return None;
            }
            error(
                "",
                format!("there is already a device \"{device}\" of kind {what}"),
                format!("give this {kind} another name, or remove it: ip link del dev {device}"),
            )
        }
        OpenKind::Bond | OpenKind::Mem => None,
    }
}

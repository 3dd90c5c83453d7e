//! `vswitch-cni`: the CNI plugin.
//!
//! What is here: the verb VERSION (CNI specification 1.1.0, section 2) and the specification's errors on
//! stdout. Every other verb is refused with error 100, which says that attaching pods is not part of this
//! release, so that a runtime never believes in a port that is not there. VERSION validates nothing but
//! the configuration's own version: runtimes send it with placeholder values.
#![forbid(unsafe_code)]

use serde::Serialize;
use std::io::{Read, Write};
use std::process::ExitCode;

/// Versions of the specification whose VERSION reply this is.
const SUPPORTED: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
/// A configuration is at most this long.
const CONFIG_MAX: u64 = 1 << 20;

/// The reply to VERSION.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct VersionReply {
    cni_version: String,
    supported_versions: [&'static str; 5],
}

/// The specification's error object.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct CniError {
    cni_version: String,
    code: u32,
    msg: String,
    details: String,
}

fn main() -> ExitCode {
    let verb = std::env::var("CNI_COMMAND").unwrap_or_default();
    let mut config = Vec::new();
    let read = std::io::stdin().take(CONFIG_MAX).read_to_end(&mut config);
    let (text, code) = match read {
        Ok(_) => answer(&verb, &config),
        Err(error) => refuse(
            "1.1.0",
            5,
            "cannot read the configuration",
            &error.to_string(),
        ),
    };
    let mut out = std::io::stdout();
    match writeln!(out, "{text}") {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

/// What to print, and how to exit.
fn answer(verb: &str, config: &[u8]) -> (String, ExitCode) {
    let parsed: Result<serde_json::Value, _> = serde_json::from_slice(config);
    let said = parsed
        .as_ref()
        .ok()
        .and_then(|c| c.get("cniVersion")?.as_str())
        .unwrap_or("1.1.0");
    match verb {
        "VERSION" if parsed.is_err() => refuse(
            "1.1.0",
            6,
            "the configuration is no JSON",
            "VERSION reads cniVersion from stdin",
        ),
        "VERSION" => {
            let reply = VersionReply {
                cni_version: said.to_owned(),
                supported_versions: SUPPORTED,
            };
            // A struct of strings always is JSON.
            (
                serde_json::to_string(&reply).unwrap_or_default(),
                ExitCode::SUCCESS,
            )
        }
        "ADD" | "DEL" | "CHECK" | "GC" | "STATUS" => refuse(
            said,
            100,
            &format!("{verb} is not part of this release of vswitch-cni"),
            "attach the pod with the reference bridge plugin, or use a later release",
        ),
        "" => refuse(
            said,
            4,
            "CNI_COMMAND is not set",
            "a CNI runtime sets it; see the CNI specification",
        ),
        other => refuse(
            said,
            4,
            &format!("unknown CNI_COMMAND {other:?}"),
            "known: VERSION",
        ),
    }
}

fn refuse(version: &str, code: u32, msg: &str, details: &str) -> (String, ExitCode) {
    let error = CniError {
        cni_version: version.to_owned(),
        code,
        msg: msg.to_owned(),
        details: details.to_owned(),
    };
    (
        serde_json::to_string(&error).unwrap_or_default(),
        ExitCode::FAILURE,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_lists_what_is_supported_whatever_else_is_set() {
        let (text, code) = answer("VERSION", br#"{"cniVersion":"0.3.1","name":"x"}"#);
        assert_eq!(code, ExitCode::SUCCESS);
        assert_eq!(
            text,
            r#"{"cniVersion":"0.3.1","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}"#
        );
    }

    #[test]
    fn errors_are_the_specifications() {
        for (verb, config, expected) in [
            ("VERSION", &b"{"[..], 6),
            ("ADD", b"{}", 100),
            ("", b"{}", 4),
            ("NO", b"{}", 4),
        ] {
            let (text, code) = answer(verb, config);
            assert_eq!(code, ExitCode::FAILURE);
            let error: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(error["code"], expected, "{verb}");
        }
    }
}

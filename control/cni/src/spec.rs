//! The specification's words: verbs and environment, versions, errors on standard output.
//!
//! CNI specification 1.1.0 (github.com/containernetworking/cni), sections 2 and 5. Pure.

use serde::Serialize;
use std::path::PathBuf;

/// Versions of the specification that the plugin speaks, oldest first.
pub(crate) const VERSIONS: [&str; 7] = [
    "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0",
];
/// What is spoken where nothing can be known of the runtime.
pub(crate) const NEWEST: &str = "1.1.0";

/// Codes of errors: those below 100 are the specification's.
pub(crate) mod code {
    pub(crate) const VERSION: u32 = 1;
    pub(crate) const UNSUPPORTED: u32 = 2;
    pub(crate) const ENVIRONMENT: u32 = 4;
    pub(crate) const IO: u32 = 5;
    pub(crate) const DECODE: u32 = 6;
    pub(crate) const CONFIG: u32 = 7;
    pub(crate) const NETNS: u32 = 8;
    pub(crate) const LATER: u32 = 11;
    pub(crate) const UNAVAILABLE: u32 = 50;
    pub(crate) const LIMITED: u32 = 51;
    /// Ours: something failed in the pod's namespace or in the daemon.
    pub(crate) const FAILED: u32 = 100;
    /// Ours: the interface's name is in use.
    pub(crate) const NAME: u32 = 101;
    /// Ours: what CHECK found.
    pub(crate) const CHECK: u32 = 102;
}

/// The specification's error object.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CniError {
    pub(crate) cni_version: String,
    pub(crate) code: u32,
    pub(crate) msg: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) details: String,
}

impl CniError {
    pub(crate) fn new(code: u32, msg: impl Into<String>, details: impl Into<String>) -> Self {
        Self {
            cni_version: NEWEST.to_owned(),
            code,
            msg: msg.into(),
            details: details.into(),
        }
    }

    /// In a version that the runtime understands.
    pub(crate) fn in_version(mut self, version: &str) -> Self {
        if VERSIONS.contains(&version) {
            version.clone_into(&mut self.cni_version);
        }
        self
    }
}

impl std::fmt::Display for CniError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.msg)?;
        if self.details.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", self.details)
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Add,
    Del,
    Check,
    Gc,
    Status,
    Version,
}

impl Verb {
    const WORDS: [(&str, Self); 6] = [
        ("ADD", Self::Add),
        ("DEL", Self::Del),
        ("CHECK", Self::Check),
        ("GC", Self::Gc),
        ("STATUS", Self::Status),
        ("VERSION", Self::Version),
    ];

    /// The word of the specification.
    pub(crate) fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, verb)| *verb == self)
            .map_or("", |(word, _)| word)
    }

    /// The oldest version of the specification that has the verb, by its place in [`VERSIONS`].
    const fn since(self) -> usize {
        match self {
            Self::Add | Self::Del | Self::Version => 0,
            Self::Check => 4,
            Self::Gc | Self::Status => 6,
        }
    }
}

/// The environment of a call. What a verb has no use for is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Env {
    pub(crate) container_id: String,
    pub(crate) netns: String,
    pub(crate) ifname: String,
    /// `K=V;K=V`, as it came.
    pub(crate) args: String,
    /// Folders in which plugins are looked for.
    pub(crate) path: Vec<PathBuf>,
    /// `CNI_NETNS_OVERRIDE`: the plugin's own namespace may be meant.
    pub(crate) own_netns: bool,
}

/// Reads the environment; `get` tells the value of a variable.
///
/// # Errors
/// Code 4 with all that is missing or malformed at once.
pub(crate) fn environment(get: &dyn Fn(&str) -> Option<String>) -> Result<(Verb, Env), CniError> {
    let value = |name: &str| get(name).unwrap_or_default();
    let word = value("CNI_COMMAND");
    let known = || Verb::WORDS.map(|(word, _)| word).join(", ");
    let Some((_, verb)) = Verb::WORDS.iter().find(|(known, _)| *known == word) else {
        let msg = if word.is_empty() {
            "CNI_COMMAND is not set".to_owned()
        } else {
            format!("unknown CNI_COMMAND \"{word}\"")
        };
        return Err(CniError::new(
            code::ENVIRONMENT,
            msg,
            format!(
                "a CNI runtime sets it to one of {}; by hand: vswitch-cni --help",
                known()
            ),
        ));
    };
    let env = Env {
        container_id: value("CNI_CONTAINERID"),
        netns: value("CNI_NETNS"),
        ifname: value("CNI_IFNAME"),
        args: value("CNI_ARGS"),
        path: std::env::split_paths(&value("CNI_PATH"))
            .filter(|folder| !folder.as_os_str().is_empty())
            .collect(),
        own_netns: matches!(
            value("CNI_NETNS_OVERRIDE").as_str(),
            "1" | "true" | "True" | "TRUE"
        ),
    };
    let mut wrong = Vec::new();
    let of_container = matches!(verb, Verb::Add | Verb::Del | Verb::Check);
    if of_container && env.container_id.is_empty() {
        wrong.push("CNI_CONTAINERID is not set".to_owned());
    } else if of_container && !is_container_id(&env.container_id) {
        wrong.push(format!(
            "CNI_CONTAINERID \"{}\" has other characters than letters, digits, \"_\", \".\" and \"-\", or does \
             not begin with a letter or digit",
            env.container_id
        ));
    }
    if of_container && env.ifname.is_empty() {
        wrong.push("CNI_IFNAME is not set".to_owned());
    } else if of_container && let Err(why) = check_ifname(&env.ifname) {
        wrong.push(format!("CNI_IFNAME \"{}\" {why}", env.ifname));
    }
    if matches!(verb, Verb::Add | Verb::Check) && env.netns.is_empty() {
        wrong.push("CNI_NETNS is not set".to_owned());
    }
    if wrong.is_empty() {
        Ok((*verb, env))
    } else {
        let msg = format!("the environment of {} is not complete", verb.word());
        Err(CniError::new(code::ENVIRONMENT, msg, wrong.join("; ")))
    }
}

fn is_container_id(id: &str) -> bool {
    id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// The kernel's rules for interface names.
pub(crate) fn check_ifname(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > 15 {
        Err("has not 1 to 15 bytes")
    } else if name == "." || name == ".." {
        Err("names a folder")
    } else if name
        .chars()
        .any(|c| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
    {
        Err("contains \"/\", \":\", a blank or a control character")
    } else {
        Ok(())
    }
}

/// Checks the version of a configuration; none means 0.1.0.
///
/// # Errors
/// Code 1 with the versions that are spoken.
pub(crate) fn version(said: Option<&str>, verb: Verb) -> Result<&'static str, CniError> {
    let said = said.filter(|text| !text.is_empty()).unwrap_or(VERSIONS[0]);
    let Some(at) = VERSIONS.iter().position(|known| *known == said) else {
        return Err(CniError::new(
            code::VERSION,
            format!("cniVersion \"{said}\" is not supported"),
            format!("supported are {}", VERSIONS.join(", ")),
        ));
    };
    if at < verb.since() {
        return Err(CniError::new(
            code::VERSION,
            format!("{} is not part of CNI {said}", verb.word()),
            format!(
                "it is since {}: set \"cniVersion\" to that or later",
                VERSIONS[verb.since()]
            ),
        ));
    }
    Ok(VERSIONS[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Result<(Verb, Env), CniError> {
        let pairs: Vec<(String, String)> = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        environment(&|name| {
            pairs
                .iter()
                .find(|(k, _)| k == name)
                .map(|(_, v)| v.clone())
        })
    }

    #[test]
    fn what_is_missing_is_said_at_once() {
        let error = env(&[("CNI_COMMAND", "ADD")]).expect_err("much is missing");
        assert_eq!(error.code, code::ENVIRONMENT);
        for name in ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS"] {
            assert!(error.details.contains(name), "{error}");
        }
        let del = [
            ("CNI_COMMAND", "DEL"),
            ("CNI_CONTAINERID", "a"),
            ("CNI_IFNAME", "eth0"),
        ];
        assert!(env(&del).is_ok(), "DEL works without a namespace");
        assert!(env(&[("CNI_COMMAND", "GC")]).is_ok());
        for (name, value) in [
            ("CNI_CONTAINERID", "-a"),
            ("CNI_CONTAINERID", "a/b"),
            ("CNI_IFNAME", "a-name-with-16-c"),
            ("CNI_IFNAME", "a b"),
            ("CNI_IFNAME", ".."),
        ] {
            let mut all = del.to_vec();
            all.insert(0, (name, value));
            assert!(env(&all).expect_err(value).details.contains(name));
        }
        assert_eq!(env(&[]).expect_err("nothing").code, code::ENVIRONMENT);
        assert!(
            env(&[("CNI_COMMAND", "add")])
                .expect_err("case")
                .msg
                .contains("add")
        );
    }

    #[test]
    fn versions_are_those_of_the_verbs() {
        assert_eq!(version(None, Verb::Add), Ok("0.1.0"));
        assert_eq!(version(Some("1.1.0"), Verb::Gc), Ok("1.1.0"));
        for (said, verb) in [
            ("1.2.0", Verb::Add),
            ("x", Verb::Add),
            ("1.0.0", Verb::Gc),
            ("0.3.1", Verb::Check),
        ] {
            assert_eq!(
                version(Some(said), verb).expect_err(said).code,
                code::VERSION
            );
        }
    }
}

//! What the daemon answers when it cannot do what was asked: typed varlink errors.
//!
//! Each error names the object, what is wrong, and (`hint`) what to do next. Names and
//! parameters are part of the contract: parameters may be added, never removed or retyped. All
//! `io.vswitch.*` interfaces share the errors of `io.vswitch.Switch`. A client that meets an
//! error it does not know keeps it whole as [`ApiError::Other`]. Plain data; any thread.
//! Implements house.md 4.7 (socket API) and features.md S-21, S-48 (refusals of their own).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::ConfigError;
use crate::text::{excerpt, known_hint};

/// The most names that a `NotFound` carries.
const KNOWN_MAX: usize = 100;

/// An error reply: `{"error": name, "parameters": {...}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", content = "parameters", rename_all_fields = "camelCase")]
pub enum ApiError {
    /// There is no such interface.
    #[error("the daemon has no interface \"{interface}\"")]
    #[serde(rename = "org.varlink.service.InterfaceNotFound")]
    InterfaceNotFound {
        /// The interface asked for.
        interface: String,
    },
    /// The interface has no such method.
    #[error("the daemon has no method \"{method}\"")]
    #[serde(rename = "org.varlink.service.MethodNotFound")]
    MethodNotFound {
        /// The method asked for, with its interface.
        method: String,
        /// The nearest one, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// The method is known but not in this build or start mode.
    #[error("the daemon cannot do \"{method}\" in this build or start mode")]
    #[serde(rename = "org.varlink.service.MethodNotImplemented")]
    MethodNotImplemented {
        /// The method asked for, with its interface.
        method: String,
    },
    /// A parameter is missing, unknown, or no value of its type.
    #[error("parameter \"{parameter}\": {message}")]
    #[serde(rename = "org.varlink.service.InvalidParameter")]
    InvalidParameter {
        /// The parameter.
        parameter: String,
        /// What is wrong with it.
        #[serde(default)]
        message: String,
        /// What to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// The caller may not do this.
    #[error("not permitted: {message}")]
    #[serde(rename = "org.varlink.service.PermissionDenied")]
    PermissionDenied {
        /// Who may not do what.
        #[serde(default)]
        message: String,
        /// The group to join.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// The method answers with a stream and was called without `more`.
    #[error("this method streams: call it with \"more\"")]
    #[serde(rename = "org.varlink.service.ExpectedMore")]
    ExpectedMore {},
    /// There is no object of this name.
    #[error("there is no {kind} \"{name}\"")]
    #[serde(rename = "io.vswitch.Switch.NotFound")]
    NotFound {
        /// What kind of object: `bridge`, `port`, `host`, `address`, `vlan`.
        kind: String,
        /// The name asked for.
        name: String,
        /// Names that there are.
        known: Vec<String>,
        /// The one that was probably meant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// An object of this name is there already.
    #[error("there is already a {kind} \"{name}\"")]
    #[serde(rename = "io.vswitch.Switch.AlreadyExists")]
    AlreadyExists {
        /// What kind of object.
        kind: String,
        /// Its name.
        name: String,
        /// What to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// The object is needed by others.
    #[error("{kind} \"{name}\" is in use by {}", list(users))]
    #[serde(rename = "io.vswitch.Switch.InUse")]
    InUse {
        /// What kind of object.
        kind: String,
        /// Its name.
        name: String,
        /// Who needs it.
        users: Vec<String>,
        /// What to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// The object belongs to the configuration file (S-21).
    #[error("{kind} \"{name}\" is protected: {reason}")]
    #[serde(rename = "io.vswitch.Switch.Protected")]
    Protected {
        /// What kind of object.
        kind: String,
        /// Its name.
        name: String,
        /// Why it is protected.
        reason: String,
        /// What to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// The configuration is wrong: every error of it.
    #[error("the configuration has {} error{}: {}", errors.len(), plural(errors), first(errors))]
    #[serde(rename = "io.vswitch.Switch.InvalidConfig")]
    InvalidConfig {
        /// All errors, in the order of the configuration.
        errors: Vec<ConfigError>,
    },
    /// The configuration changed since the caller looked at it.
    #[error("{message}")]
    #[serde(rename = "io.vswitch.Switch.Conflict")]
    Conflict {
        /// What was expected and what is.
        message: String,
        /// The generation that the caller expected.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expect_generation: Option<u64>,
        /// The present generation.
        generation: u64,
        /// What to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// Not now: a change is under way, or the caller asks too often.
    #[error("busy: {message}")]
    #[serde(rename = "io.vswitch.Switch.Busy")]
    Busy {
        /// With what.
        message: String,
        /// When to ask again, in milliseconds.
        retry_after_ms: u64,
    },
    /// The operating system refused.
    #[error("{object}: cannot {operation}: {errno_name} (error {errno})")]
    #[serde(rename = "io.vswitch.Switch.SystemError")]
    SystemError {
        /// What was tried, such as `open TAP`.
        operation: String,
        /// On what, such as `port vm1`.
        object: String,
        /// The kernel's number; 0 where there is none.
        errno: i32,
        /// Its name, such as `EBUSY`, or the text of the error.
        errno_name: String,
        /// What to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// An error that this version does not know.
    #[error("{name} {parameters}")]
    #[serde(skip)]
    Other {
        /// Its qualified name.
        name: String,
        /// Its parameters.
        parameters: Value,
    },
}

fn list(names: &[String]) -> String {
    crate::text::list(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

fn plural(errors: &[ConfigError]) -> &'static str {
    if errors.len() == 1 { "" } else { "s" }
}

fn first(errors: &[ConfigError]) -> String {
    errors.first().map_or_else(String::new, ToString::to_string)
}

impl ApiError {
    /// There is no `kind` called `name`; the hint names the nearest of `known`.
    pub fn not_found<'a>(kind: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        Self::NotFound {
            kind: kind.to_owned(),
            name: excerpt(name, 64),
            hint: Some(known_hint(name, kind, &known)),
            known: known
                .iter()
                .take(KNOWN_MAX)
                .map(|name| (*name).to_owned())
                .collect(),
        }
    }

    /// A parameter is wrong.
    pub fn parameter(parameter: &str, message: impl Into<String>) -> Self {
        Self::InvalidParameter {
            parameter: excerpt(parameter, 64),
            message: message.into(),
            hint: None,
        }
    }

    /// The caller needs to be root or in `group`.
    pub fn permission(message: impl Into<String>, group: &str) -> Self {
        Self::PermissionDenied {
            message: message.into(),
            hint: Some(format!(
                "become root, or a member of group \"{group}\": usermod -aG {group} USER, then log in again"
            )),
        }
    }

    /// `operation` on `object` failed in the operating system.
    pub fn system(
        operation: &str,
        object: &str,
        error: &std::io::Error,
        hint: Option<String>,
    ) -> Self {
        let errno = error.raw_os_error().unwrap_or(0);
        Self::SystemError {
            operation: operation.to_owned(),
            object: object.to_owned(),
            errno,
            errno_name: errno_name(errno).map_or_else(|| error.to_string(), str::to_owned),
            hint,
        }
    }

    /// What to do about it, where the error says so.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::MethodNotFound { hint, .. }
            | Self::InvalidParameter { hint, .. }
            | Self::PermissionDenied { hint, .. }
            | Self::NotFound { hint, .. }
            | Self::AlreadyExists { hint, .. }
            | Self::InUse { hint, .. }
            | Self::Protected { hint, .. }
            | Self::Conflict { hint, .. }
            | Self::SystemError { hint, .. } => hint.as_deref(),
            Self::InvalidConfig { errors } => {
                errors.first().and_then(|error| error.hint.as_deref())
            }
            Self::Other { parameters, .. } => parameters.get("hint").and_then(Value::as_str),
            Self::InterfaceNotFound { .. }
            | Self::MethodNotImplemented { .. }
            | Self::ExpectedMore {}
            | Self::Busy { .. } => None,
        }
    }

    /// The qualified name and the parameters, as the reply carries them.
    pub fn to_wire(&self) -> (String, Value) {
        if let Self::Other { name, parameters } = self {
            return (name.clone(), parameters.clone());
        }
        let mut wire = serde_json::to_value(self).unwrap_or_default();
        let name = wire["error"].as_str().unwrap_or_default().to_owned();
        let parameters = wire
            .get_mut("parameters")
            .map_or_else(|| Map::new().into(), Value::take);
        (name, parameters)
    }

    /// The error that a reply carries.
    pub fn from_wire(name: &str, parameters: Value) -> Self {
        let mut wire = Map::new();
        wire.insert("error".to_owned(), name.into());
        wire.insert("parameters".to_owned(), parameters);
        let wire = Value::from(wire);
        Self::deserialize(&wire).unwrap_or_else(|_| Self::Other {
            name: name.to_owned(),
            parameters: wire["parameters"].clone(),
        })
    }
}

impl From<Vec<ConfigError>> for ApiError {
    fn from(errors: Vec<ConfigError>) -> Self {
        Self::InvalidConfig { errors }
    }
}

/// The names of the errors that network and device calls give; Linux's generic numbers.
const ERRNO_NAMES: [(i32, &str); 47] = [
    (1, "EPERM"),
    (2, "ENOENT"),
    (4, "EINTR"),
    (5, "EIO"),
    (6, "ENXIO"),
    (7, "E2BIG"),
    (9, "EBADF"),
    (11, "EAGAIN"),
    (12, "ENOMEM"),
    (13, "EACCES"),
    (14, "EFAULT"),
    (16, "EBUSY"),
    (17, "EEXIST"),
    (18, "EXDEV"),
    (19, "ENODEV"),
    (20, "ENOTDIR"),
    (21, "EISDIR"),
    (22, "EINVAL"),
    (23, "ENFILE"),
    (24, "EMFILE"),
    (25, "ENOTTY"),
    (26, "ETXTBSY"),
    (27, "EFBIG"),
    (28, "ENOSPC"),
    (30, "EROFS"),
    (32, "EPIPE"),
    (34, "ERANGE"),
    (36, "ENAMETOOLONG"),
    (38, "ENOSYS"),
    (71, "EPROTO"),
    (75, "EOVERFLOW"),
    (76, "ENOTUNIQ"),
    (77, "EBADFD"),
    (90, "EMSGSIZE"),
    (92, "ENOPROTOOPT"),
    (93, "EPROTONOSUPPORT"),
    (95, "EOPNOTSUPP"),
    (97, "EAFNOSUPPORT"),
    (98, "EADDRINUSE"),
    (99, "EADDRNOTAVAIL"),
    (100, "ENETDOWN"),
    (101, "ENETUNREACH"),
    (104, "ECONNRESET"),
    (105, "ENOBUFS"),
    (110, "ETIMEDOUT"),
    (111, "ECONNREFUSED"),
    (113, "EHOSTUNREACH"),
];

/// The name of an error number of Linux, where it is one that devices and sockets give.
pub fn errno_name(errno: i32) -> Option<&'static str> {
    ERRNO_NAMES
        .iter()
        .find(|(number, _)| *number == errno)
        .map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_survive_the_wire() {
        let io = std::io::Error::from_raw_os_error(16);
        let errors = [
            ApiError::not_found("bridge", "mgmt-bro", ["mgmt-br", "oob-br"]),
            ApiError::parameter("vlan", "there is no VLAN 5000"),
            ApiError::permission("uid 1000 may not change the switch", "vswitch"),
            ApiError::system("bind packet socket", "port eth0", &io, None),
            ApiError::ExpectedMore {},
            ApiError::from(vec![
                ConfigError::new("port.vm1.vlan", "VLAN 0 is no VLAN").hint("1 to 4094"),
            ]),
            ApiError::Conflict {
                message: "m".into(),
                expect_generation: Some(3),
                generation: 4,
                hint: None,
            },
            ApiError::Busy {
                message: "m".into(),
                retry_after_ms: 100,
            },
        ];
        for error in errors {
            let (name, parameters) = error.to_wire();
            assert!(parameters.is_object(), "{name} {parameters}");
            assert_eq!(ApiError::from_wire(&name, parameters), error);
        }
    }

    #[test]
    fn an_unknown_error_is_kept_whole() {
        let parameters = serde_json::json!({"why": "later", "hint": "upgrade"});
        let error = ApiError::from_wire("io.vswitch.Bond.NoMember", parameters.clone());
        assert_eq!(error.hint(), Some("upgrade"));
        assert_eq!(
            error.to_wire(),
            ("io.vswitch.Bond.NoMember".to_owned(), parameters)
        );
        let wrong =
            ApiError::from_wire("io.vswitch.Switch.Busy", serde_json::json!({"message": 5}));
        assert!(
            matches!(wrong, ApiError::Other { .. }),
            "known name, other parameters"
        );
    }

    #[test]
    fn messages_name_object_and_cause() {
        let error = ApiError::not_found("bridge", "mgmt-bro", ["mgmt-br"]);
        assert_eq!(error.to_string(), "there is no bridge \"mgmt-bro\"");
        assert_eq!(
            error.hint(),
            Some("did you mean \"mgmt-br\"? known: mgmt-br")
        );
        let io = std::io::Error::from_raw_os_error(16);
        let error = ApiError::system("open TAP", "port vm1", &io, None);
        assert_eq!(
            error.to_string(),
            "port vm1: cannot open TAP: EBUSY (error 16)"
        );
        assert_eq!(
            ApiError::parameter("a".repeat(5000).as_str(), "")
                .to_string()
                .chars()
                .count(),
            79
        );
    }

    #[test]
    fn errno_names_agree_with_the_system() {
        use std::io::ErrorKind;
        for (number, kind) in [
            (2, ErrorKind::NotFound),
            (13, ErrorKind::PermissionDenied),
            (17, ErrorKind::AlreadyExists),
            (98, ErrorKind::AddrInUse),
            (100, ErrorKind::NetworkDown),
        ] {
            assert!(errno_name(number).is_some());
            assert_eq!(std::io::Error::from_raw_os_error(number).kind(), kind);
        }
        assert_eq!(errno_name(0), None);
    }
}

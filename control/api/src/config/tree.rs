//! A tree of values (JSON from the socket, or TOML already turned into it) into a [`Config`].
//!
//! Guarantees: every unknown key and every value of a wrong type is reported, each with its
//! path, up to [`ERRORS_MAX`]; unknown keys and words come with the nearest known one. Each key
//! is read on its own, so one wrong value hides no other. What the values mean together is
//! `config::check`'s business. Pure; any thread; never panics on a stranger's tree.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::check::ERRORS_MAX;
use super::{BondConfig, BridgeConfig, Config, ConfigError, HostConfig, PortConfig};
use crate::text::{excerpt, list, nearest, push_segment};

/// How the message of an unknown key or table begins: there the key is wrong, not the value.
pub(crate) const UNKNOWN: &str = "unknown ";

/// Reads a whole configuration.
///
/// # Errors
///
/// Every unknown key and value of a wrong type.
pub fn config(tree: &Value) -> Result<Config, Vec<ConfigError>> {
    let mut reader = Reader::default();
    let config = reader.config(tree);
    reader.done(config)
}

/// Reads the fields of `[bridge.NAME]`; `null` is the empty table.
///
/// # Errors
///
/// Every unknown key and value of a wrong type.
pub fn bridge(name: &str, fields: &Value) -> Result<BridgeConfig, Vec<ConfigError>> {
    one("bridge", name, fields)
}

/// Reads the fields of `[port.NAME]`; `kind` must be there.
///
/// # Errors
///
/// Every unknown key and value of a wrong type, and a missing `kind`.
pub fn port(name: &str, fields: &Value) -> Result<PortConfig, Vec<ConfigError>> {
    one("port", name, fields)
}

/// Reads the fields of `[bond.NAME]`; `null` is the empty table.
///
/// # Errors
///
/// Every unknown key and value of a wrong type.
pub fn bond(name: &str, fields: &Value) -> Result<BondConfig, Vec<ConfigError>> {
    one("bond", name, fields)
}

/// Reads the fields of `[host.NAME]`; `null` is the empty table.
///
/// # Errors
///
/// Every unknown key and value of a wrong type.
pub fn host(name: &str, fields: &Value) -> Result<HostConfig, Vec<ConfigError>> {
    one("host", name, fields)
}

fn one<T: DeserializeOwned + Default>(
    kind: &str,
    name: &str,
    fields: &Value,
) -> Result<T, Vec<ConfigError>> {
    let mut reader = Reader::default();
    let empty = Value::Object(Map::new());
    let value = reader.object(kind, name, if fields.is_null() { &empty } else { fields });
    reader.done(value)
}

#[derive(Default)]
struct Reader {
    errors: Vec<ConfigError>,
}

impl Reader {
    fn done<T>(self, value: T) -> Result<T, Vec<ConfigError>> {
        if self.errors.is_empty() {
            Ok(value)
        } else {
            Err(self.errors)
        }
    }

    fn push(&mut self, path: String, message: impl Into<String>, hint: Option<String>) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(ConfigError {
                path,
                message: message.into(),
                hint,
            });
        }
    }

    fn config(&mut self, tree: &Value) -> Config {
        let Some(tables) = tree.as_object() else {
            self.push(
                String::new(),
                format!("a configuration is a table, not {}", kind_of(tree)),
                None,
            );
            return Config::default();
        };
        let mut config = Config::default();
        for (key, value) in tables {
            match key.as_str() {
                "daemon" => config.daemon = self.fields("daemon", value),
                "bridge" => config.bridge = self.named("bridge", value),
                "port" => config.port = self.named("port", value),
                "bond" => config.bond = self.named("bond", value),
                "host" => config.host = self.named("host", value),
                other => {
                    let known = ["bond", "bridge", "daemon", "host", "port"];
                    let mut path = String::new();
                    push_segment(&mut path, other);
                    self.push(
                        path,
                        format!("{UNKNOWN}table \"{}\"", excerpt(other, 40)),
                        Some(known_keys(other, &known)),
                    );
                }
            }
        }
        config
    }

    /// `[kind.NAME]` for every name.
    fn named<T: DeserializeOwned + Default>(
        &mut self,
        kind: &str,
        tree: &Value,
    ) -> std::collections::BTreeMap<String, T> {
        let Some(objects) = tree.as_object() else {
            let example = format!("write [{kind}.NAME]");
            self.push(
                kind.to_owned(),
                format!("this is a table of named objects, not {}", kind_of(tree)),
                Some(example),
            );
            return std::collections::BTreeMap::new();
        };
        objects
            .iter()
            .map(|(name, fields)| (name.clone(), self.object(kind, name, fields)))
            .collect()
    }

    fn object<T: DeserializeOwned + Default>(
        &mut self,
        kind: &str,
        name: &str,
        fields: &Value,
    ) -> T {
        let path = crate::text::path(&[kind, name]);
        if kind == "port"
            && fields
                .as_object()
                .is_some_and(|fields| !fields.contains_key("kind"))
        {
            let hint = "write kind = \"nic\" for an existing device, kind = \"tap\" for a new one"
                .to_owned();
            self.push(path.clone(), "this port does not say its kind", Some(hint));
        }
        self.fields(&path, fields)
    }

    /// The fields of one table, each read on its own.
    fn fields<T: DeserializeOwned + Default>(&mut self, path: &str, tree: &Value) -> T {
        let Some(fields) = tree.as_object() else {
            self.push(
                path.to_owned(),
                format!("this is a table, not {}", kind_of(tree)),
                None,
            );
            return T::default();
        };
        let mut good = Map::new();
        for (key, value) in fields {
            if self.errors.len() >= ERRORS_MAX {
                break;
            }
            let single = Map::from_iter([(key.clone(), value.clone())]);
            match T::deserialize(&Value::Object(single)) {
                Ok(_) => drop(good.insert(key.clone(), value.clone())),
                Err(error) => self.field::<T>(path, key, value, &error.to_string()),
            }
        }
        // Each field is good alone and no two are one, so together they are.
        T::deserialize(&Value::Object(good)).unwrap_or_default()
    }

    /// Reports one field that cannot be read; in a list, the elements that cannot.
    fn field<T: DeserializeOwned>(&mut self, path: &str, key: &str, value: &Value, error: &str) {
        let mut place = path.to_owned();
        push_segment(&mut place, key);
        let complaint = Complaint::read(error);
        if complaint.unknown_key && complaint.key.as_deref() == Some(key) {
            return self.push(place, complaint.message, complaint.hint);
        }
        let before = self.errors.len();
        for (index, element) in value.as_array().into_iter().flatten().enumerate() {
            if self.errors.len() >= ERRORS_MAX {
                return;
            }
            let alone = Map::from_iter([(key.to_owned(), Value::Array(vec![element.clone()]))]);
            if let Err(error) = T::deserialize(&Value::Object(alone)) {
                let complaint = Complaint::read(&error.to_string());
                let mut place = format!("{place}[{index}]");
                let present = complaint
                    .key
                    .as_deref()
                    .filter(|key| element.get(key).is_some());
                if let Some(inner) = present {
                    push_segment(&mut place, inner);
                }
                self.push(place, complaint.message, complaint.hint);
            }
        }
        if self.errors.len() == before {
            self.push(place, complaint.message, complaint.hint);
        }
    }
}

/// The kind of a value in the words of a configuration file.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

/// What to do about an unknown key.
fn known_keys(key: &str, known: &[&str]) -> String {
    match nearest(key, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("known: {}", list(known)),
    }
}

/// A complaint of serde in the words of an operator.
///
/// Serde's messages are text; these are the few forms that its derived code gives. One that is
/// not recognised is passed on as it is, cut to a screen's width.
pub(crate) struct Complaint {
    /// The key that is unknown or missing.
    pub(crate) key: Option<String>,
    /// Whether `key` is there and unknown.
    pub(crate) unknown_key: bool,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: Option<String>,
}

impl Complaint {
    /// Reads the text of an error of serde.
    pub(crate) fn read(error: &str) -> Self {
        if let Some(rest) = error.strip_prefix("unknown field `") {
            let (key, expected) = split_expected(rest).unwrap_or_else(|| (rest, Vec::new()));
            let shown = excerpt(key, 40);
            return Self {
                hint: Some(known_keys(key, &expected)),
                message: format!("{UNKNOWN}key \"{shown}\""),
                key: Some(key.to_owned()),
                unknown_key: true,
            };
        }
        if let Some(key) = error
            .strip_prefix("missing field `")
            .and_then(|rest| rest.strip_suffix('`'))
        {
            return Self {
                key: Some(key.to_owned()),
                unknown_key: false,
                message: format!("\"{key}\" is missing"),
                hint: None,
            };
        }
        let (message, hint) = match error
            .strip_prefix("unknown variant `")
            .and_then(split_expected)
        {
            Some((word, expected)) => {
                let near = nearest(word, expected.iter().copied());
                let near =
                    near.map_or_else(String::new, |near| format!("did you mean \"{near}\"? "));
                (
                    format!("\"{}\" is no value that is known here", excerpt(word, 40)),
                    Some(format!("{near}one of: {}", expected.join(", "))),
                )
            }
            None => (plain(error), None),
        };
        Self {
            key: None,
            unknown_key: false,
            message,
            hint,
        }
    }
}

/// Splits ``word`, expected one of `a`, `b`` into the word and the names.
fn split_expected(rest: &str) -> Option<(&str, Vec<&str>)> {
    let at = rest
        .find("`, expected ")
        .or_else(|| rest.find("`, there are no "))?;
    let (word, expected) = rest.split_at(at);
    Some((word, names(expected.get(1..).unwrap_or_default())))
}

/// The names between backticks.
fn names(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Rust's type names as the numbers that they hold.
fn plain(error: &str) -> String {
    let types = [
        ("expected u8", "expected a whole number from 0 to 255"),
        ("expected u16", "expected a whole number from 0 to 65535"),
        (
            "expected u32",
            "expected a whole number from 0 to 4294967295",
        ),
        ("expected u64", "expected a whole number from 0"),
        ("expected a boolean", "expected true or false"),
        ("expected a string", "expected a text in quotes"),
        ("expected a sequence", "expected a list in brackets"),
    ];
    let text = excerpt(error, 200);
    for (from, to) in types {
        if let Some(start) = text.strip_suffix(from) {
            return format!("{start}{to}");
        }
    }
    text
}

#[cfg(test)]
mod tests;

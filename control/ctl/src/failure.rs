//! What went wrong, for people and for programs, and the exit code that tells scripts.
//!
//! Every failure is one screen: what failed, why (named facts), what to do. The same value
//! becomes one line with `-q` and a JSON object with `--json`. A reader that went away (broken
//! pipe) is no failure. Implements interfaces.md §5 (errors, exit codes). Pure but for writing
//! to the given writer; it opens nothing.

use std::io::{self, Write};

use serde_json::{Map, Value, json};
use vswitch_api::error::ApiError;
use vswitch_api::text::{list, nearest};

use crate::render::{Look, Style, clean};

/// The exit codes; documented in `--help` and the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The switch could not do it.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The daemon cannot be reached.
    Unreachable = 3,
    /// There is no such object.
    NotFound = 4,
    /// Not permitted, or the object is protected.
    Permission = 5,
    /// Exists already, is in use, or changed meanwhile.
    Conflict = 6,
    /// `status` only: something does not work.
    Degraded = 7,
}

impl Exit {
    /// The number for the shell.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// A failure with everything that the operator needs to go on.
///
/// Boxed: it is rare, and what it travels in is not.
#[derive(Clone, Debug)]
pub(crate) struct Failure(Box<Details>);

impl std::ops::Deref for Failure {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

impl std::ops::DerefMut for Failure {
    fn deref_mut(&mut self) -> &mut Details {
        &mut self.0
    }
}

/// What a [`Failure`] says.
#[derive(Clone, Debug)]
pub(crate) struct Details {
    pub(crate) exit: Exit,
    /// Stable name: a varlink error name, or `vswctl.…` for what this command found itself.
    pub(crate) name: String,
    pub(crate) what: String,
    /// Named facts below the first line: `known: a, b`.
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) help: Vec<String>,
    /// Lines to print below as they are: places in a file, with carets.
    pub(crate) below: Option<String>,
    /// The parameters of the daemon's error.
    pub(crate) parameters: Value,
    /// A word of the command line and what was probably meant.
    pub(crate) near: Option<(String, String)>,
    /// Nothing is printed: the reader went away, or an exit code says it all.
    pub(crate) silent: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, name: &str, what: impl Into<String>) -> Self {
        Self(Box::new(Details {
            exit,
            name: name.to_owned(),
            what: what.into(),
            facts: Vec::new(),
            help: Vec::new(),
            below: None,
            parameters: Value::Null,
            near: None,
            silent: false,
        }))
    }

    /// The command line is wrong.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "vswctl.Usage", what)
    }

    /// There is no object of this name among `known`.
    pub(crate) fn not_found(kind: &str, name: &str, known: &[&str]) -> Self {
        Self::from(ApiError::not_found(kind, name, known.iter().copied()))
    }

    /// Reading or writing a file failed.
    pub(crate) fn file(doing: &str, path: &std::path::Path, error: &io::Error) -> Self {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::NotFound,
            io::ErrorKind::PermissionDenied => Exit::Permission,
            _ => Exit::Failed,
        };
        Self::new(
            exit,
            "vswctl.File",
            format!("cannot {doing} {}: {error}", path.display()),
        )
    }

    pub(crate) fn fact(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.facts.push((name, text.into()));
        self
    }

    pub(crate) fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// An exit code without a message.
    pub(crate) fn silent(exit: Exit) -> Self {
        let mut failure = Self::new(exit, "vswctl.Silent", "");
        failure.silent = true;
        failure
    }

    /// Prints the failure as the command line asked for it.
    pub(crate) fn print(&self, err: &mut dyn Write, words: &[String], look: &Look, quiet: bool) {
        if self.silent {
            return;
        }
        let text = if look.json {
            format!("{}\n", self.to_json(words))
        } else if quiet {
            format!(
                "{} {}\n",
                look.paint(Style::Bad, "error:"),
                clean(&self.what)
            )
        } else {
            self.to_text(words, look)
        };
        // Standard error is the last place to complain to: if it is closed, nobody listens.
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }

    fn to_text(&self, words: &[String], look: &Look) -> String {
        let mut text = format!(
            "{} {}\n",
            look.paint(Style::Bad, "error:"),
            clean(&self.what)
        );
        for (name, fact) in &self.facts {
            push_entry(
                &mut text,
                name,
                &look.paint(Style::Strong, &format!("{name}:")),
                fact,
            );
        }
        for help in self.helps(words) {
            push_entry(&mut text, "help", &look.paint(Style::Good, "help:"), &help);
        }
        for line in self.below.iter().flat_map(|below| below.lines()) {
            text.push_str(&clean(line));
            text.push('\n');
        }
        text
    }

    fn to_json(&self, words: &[String]) -> Value {
        let mut object = Map::new();
        object.insert("error".into(), json!(self.name));
        object.insert("message".into(), json!(self.what));
        for (name, fact) in &self.facts {
            object.insert((*name).to_owned(), json!(fact));
        }
        let helps = self.helps(words);
        if !helps.is_empty() {
            object.insert("help".into(), json!(helps));
        }
        if !self.parameters.is_null() {
            object.insert("parameters".into(), self.parameters.clone());
        }
        object.insert("exitCode".into(), json!(self.exit.code()));
        Value::Object(object)
    }

    /// What to do; a near miss comes with the corrected command.
    fn helps(&self, words: &[String]) -> Vec<String> {
        let mut helps = Vec::new();
        if let Some((wrong, right)) = &self.near {
            let mut help = format!("did you mean \"{right}\"?");
            if words.contains(wrong) {
                let fixed = words
                    .iter()
                    .map(|word| quoted(if word == wrong { right } else { word }));
                help.push_str("  vswctl ");
                help.push_str(&fixed.collect::<Vec<_>>().join(" "));
            }
            helps.push(help);
        }
        helps.extend(self.help.iter().cloned());
        helps
    }
}

/// One indented entry; further lines of the text stand below its first.
fn push_entry(text: &mut String, name: &str, painted: &str, entry: &str) {
    let indent = " ".repeat(name.len() + 4);
    for (index, line) in entry.lines().enumerate() {
        if index == 0 {
            text.push_str(&format!("  {painted} {}\n", clean(line)));
        } else {
            text.push_str(&format!("{indent}{}\n", clean(line)));
        }
    }
}

/// The word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let exit = match &error {
            ApiError::NotFound { .. } => Exit::NotFound,
            ApiError::PermissionDenied { .. } | ApiError::Protected { .. } => Exit::Permission,
            ApiError::AlreadyExists { .. }
            | ApiError::InUse { .. }
            | ApiError::Conflict { .. }
            | ApiError::Busy { .. } => Exit::Conflict,
            ApiError::InvalidParameter { .. } => Exit::Usage,
            _ => Exit::Failed,
        };
        let (name, parameters) = error.to_wire();
        let mut failure = Self::new(exit, &name, error.to_string());
        failure.parameters = parameters;
        match &error {
            ApiError::NotFound { name, known, .. } => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                let text = if known.is_empty() {
                    "none".to_owned()
                } else {
                    list(&known)
                };
                failure = failure.fact("known", text);
                failure.near = nearest(name, known).map(|near| (name.clone(), near.to_owned()));
            }
            ApiError::InvalidConfig { errors } => {
                let plural = if errors.len() == 1 { "" } else { "s" };
                failure.what = format!("the configuration has {} error{plural}", errors.len());
                for error in errors {
                    failure
                        .facts
                        .push(("wrong", format!("{}: {}", error.path, error.message)));
                    if let Some(hint) = &error.hint
                        && !failure.help.contains(hint)
                    {
                        failure.help.push(hint.clone());
                    }
                }
            }
            ApiError::Busy { retry_after_ms, .. } => {
                failure.help.push(format!(
                    "try again in {} s",
                    retry_after_ms.div_ceil(1000).max(1)
                ));
            }
            ApiError::MethodNotFound { .. } | ApiError::InterfaceNotFound { .. } => {
                failure.help.extend(error.hint().map(str::to_owned));
                failure.help.push(
                    "vswctl api list prints what the daemon has; is it older than this vswctl?"
                        .to_owned(),
                );
            }
            _ => failure.help.extend(error.hint().map(str::to_owned)),
        }
        failure
    }
}

impl From<io::Error> for Failure {
    /// Standard output failed; a reader that went away ends the command without a word.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::silent(Exit::Done);
        }
        Self::new(
            Exit::Failed,
            "vswctl.Output",
            format!("cannot write the output: {error}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    fn text(failure: &Failure, line: &str) -> String {
        failure.to_text(&words(line), &Look::plain())
    }

    #[test]
    fn a_near_miss_comes_with_the_corrected_command() {
        let failure = Failure::not_found("bridge", "mgmt-bro", &["mgmt-br", "oob-br"]);
        assert_eq!(failure.exit, Exit::NotFound);
        assert_eq!(
            text(&failure, "port add vm2 --bridge mgmt-bro"),
            "error: there is no bridge \"mgmt-bro\"\n  known: mgmt-br, oob-br\n  \
             help: did you mean \"mgmt-br\"?  vswctl port add vm2 --bridge mgmt-br\n"
        );
    }

    #[test]
    fn with_json_the_error_is_an_object() {
        let failure = Failure::not_found("bridge", "x", &[]);
        let mut out = Vec::new();
        failure.print(
            &mut out,
            &[],
            &Look {
                json: true,
                ..Look::plain()
            },
            false,
        );
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["error"], "io.vswitch.Switch.NotFound");
        assert_eq!(value["exitCode"], 4);
        assert_eq!(value["parameters"]["kind"], "bridge");
    }

    #[test]
    fn every_configuration_error_is_told() {
        let errors = vec![
            vswitch_api::config::ConfigError::new("port.a.vlan", "there is no VLAN 0")
                .hint("1 to 4094"),
            vswitch_api::config::ConfigError::new("port.b.vlan", "there is no VLAN 4095")
                .hint("1 to 4094"),
        ];
        let failure = Failure::from(ApiError::from(errors));
        assert_eq!(
            text(&failure, "config apply f"),
            "error: the configuration has 2 errors\n  wrong: port.a.vlan: there is no VLAN 0\n  \
             wrong: port.b.vlan: there is no VLAN 4095\n  help: 1 to 4094\n"
        );
    }

    #[test]
    fn control_characters_of_a_stranger_do_not_reach_the_terminal() {
        let failure = Failure::usage("bad \u{1b}[2J name").help("two\nlines");
        assert_eq!(
            text(&failure, ""),
            "error: bad \\u{1b}[2J name\n  help: two\n        lines\n"
        );
    }

    #[test]
    fn a_broken_pipe_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(failure.silent && failure.exit == Exit::Done);
    }
}

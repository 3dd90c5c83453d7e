//! `vswctl api`: the control socket as it is, for scripts and the curious.

use std::io::Read as _;

use serde_json::{Map, Value};
use vswitch_api::request::{GetInfo, GetInterfaceDescription};

use crate::failure::Failure;
use crate::render::{Cell, Style, Table, View};
use crate::session::Session;

/// The most bytes of parameters that are read from standard input: one message.
const INPUT_MAX: u64 = vswitch_api::varlink::MESSAGE_MAX as u64;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Interfaces and methods of the daemon
    List,
    /// The text of an interface, with its types and errors
    Describe {
        /// Such as io.vswitch.Switch
        interface: String,
    },
    /// Call a method
    Call {
        /// Such as io.vswitch.Switch.GetState
        method: String,
        /// Its parameters as JSON; - reads them from standard input
        #[arg(default_value = "{}", value_name = "JSON|-")]
        parameters: String,
        /// Take several replies, one a line
        #[arg(long)]
        more: bool,
    },
}

pub(crate) fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::List => list(session),
        Command::Describe { interface } => {
            let reply = session.call(GetInterfaceDescription { interface })?;
            let text = format!("{}\n", reply.description.trim_end());
            session.show(&View::text(&reply, text, Vec::new()))
        }
        Command::Call {
            method,
            parameters,
            more,
        } => {
            let parameters = read_parameters(&parameters)?;
            if !more {
                let reply = session.link()?.call(&method, parameters)?;
                return session.print(&format!("{reply:#}\n"));
            }
            session.stream_raw(&method, parameters, |session, reply| {
                session.print(&format!("{reply}\n"))?;
                Ok(true)
            })
        }
    }
}

fn read_parameters(text: &str) -> Result<Value, Failure> {
    let mut input = String::new();
    let text = if text == "-" {
        std::io::stdin()
            .take(INPUT_MAX)
            .read_to_string(&mut input)
            .map_err(|error| {
                Failure::usage(format!(
                    "cannot read the parameters from standard input: {error}"
                ))
            })?;
        if input.trim().is_empty() {
            "{}"
        } else {
            input.as_str()
        }
    } else {
        text
    };
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(Failure::usage("the parameters are no JSON object")
            .help("such as '{\"bridge\": \"br0\"}'")),
        Err(error) => Err(
            Failure::usage(format!("the parameters are no JSON: {error}"))
                .help("such as '{\"bridge\": \"br0\"}'"),
        ),
    }
}

/// Methods that an interface text declares, with what they take and give.
fn methods(description: &str) -> Vec<(String, String)> {
    let declared = description.split("\nmethod ").skip(1);
    let method = |text: &str| {
        let (name, rest) = text.split_once('(')?;
        // A declaration ends before an empty line, a comment or the next declaration.
        let end = ["\n\n", "\n#", "\ntype ", "\nerror "]
            .iter()
            .filter_map(|end| rest.find(end))
            .min()
            .unwrap_or(rest.len());
        let signature = rest[..end].split_whitespace().collect::<Vec<_>>().join(" ");
        Some((name.trim().to_owned(), format!("({signature}")))
    };
    declared.filter_map(method).collect()
}

fn list(session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let info = session.call(GetInfo::default())?;
    let mut table = Table::new(&["METHOD", "SIGNATURE"]);
    let mut json = Map::new();
    let mut names = Vec::new();
    for interface in &info.interfaces {
        let reply = session.call(GetInterfaceDescription {
            interface: interface.clone(),
        })?;
        let methods = methods(&reply.description);
        json.insert(
            interface.clone(),
            methods.iter().map(|(name, _)| name.as_str()).collect(),
        );
        for (name, signature) in methods {
            let name = format!("{interface}.{name}");
            table.row(vec![Cell::new(Style::Strong, &name), signature.into()]);
            names.push(name);
        }
    }
    session.show(&View::table(&json, table, names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_found_in_every_interface_text() {
        for (interface, text) in vswitch_api::interfaces::TEXTS {
            let declared = vswitch_api::Request::METHODS
                .iter()
                .filter_map(|name| name.strip_prefix(&format!("{interface}.")))
                .filter(|name| !name.contains('.'));
            let mut declared: Vec<&str> = declared.collect();
            let found = methods(text);
            let mut found_names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
            declared.sort_unstable();
            found_names.sort_unstable();
            assert_eq!(found_names, declared, "{interface}");
            assert!(
                found
                    .iter()
                    .all(|(_, signature)| signature.contains("->") && signature.ends_with(')')),
                "{found:?}"
            );
        }
    }
}

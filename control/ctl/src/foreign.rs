//! What to say to a command line that is not ours: phrases of `ovs-vsctl`, `ovs-appctl`,
//! `brctl`, `bridge`, `ip`, `ifenslave` and `tcpdump`, and typos.
//!
//! A foreign phrase is never run: the answer is an error that names our words, so that nobody
//! learns by accident. Pure. Implements interfaces.md §5 ("foreign vocabulary") and §8 (phrase
//! book).

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::failure::{Failure, quoted};

/// What a phrase means here.
enum Meaning {
    /// The words after `vswctl`.
    Use(String),
    /// There is nothing like it.
    No(&'static str),
}

/// The error for a phrase of another tool; `None` if it is none.
pub(crate) fn translate(words: &[String]) -> Option<Failure> {
    let words = behind_options(words);
    // Options of our own and of theirs (--may-exist, -s) say nothing about the phrase.
    let plain: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let (tool, rest) = match plain.split_first() {
        Some((&tool, rest)) if TOOLS.contains(&tool) => (Some(tool), rest),
        _ => (None, plain.as_slice()),
    };
    let said = words
        .iter()
        .map(|word| quoted(word))
        .collect::<Vec<_>>()
        .join(" ");
    let failure = Failure::usage(format!("\"{said}\" is not a vswctl command"));
    let found = match tool {
        Some("tcpdump" | "ovs-tcpdump") => Some(Meaning::Use(format!(
            "capture {}",
            name(rest.first().copied().unwrap_or("PORT"))
        ))),
        // `ovs-vsctl show`: the words behind the tool may be ours.
        Some(_) => meaning(rest).or_else(|| Some(Meaning::Use(own_words(rest)))),
        None => meaning(rest),
    };
    Some(match found? {
        Meaning::Use(ours) => failure.help(format!("use: vswctl {ours}")),
        Meaning::No(why) => failure.fact("why", why),
    })
}

/// The words behind the options of `vswctl` itself, with their values, that come first.
fn behind_options(words: &[String]) -> &[String] {
    use clap::CommandFactory as _;
    let root = crate::args::Cli::command();
    let has_value = |word: &str| {
        root.get_arguments().any(|arg| {
            let long = arg.get_long().zip(word.strip_prefix("--"));
            let short = arg.get_short().zip(word.strip_prefix('-'));
            let named = long.is_some_and(|(long, word)| long == word)
                || short.is_some_and(|(short, word)| word.chars().eq([short]));
            named && arg.get_action().takes_values()
        })
    };
    let mut rest = words;
    while let [option, behind @ ..] = rest
        && option.starts_with('-')
    {
        rest = match behind {
            [_, behind @ ..] if has_value(option) => behind,
            behind => behind,
        };
    }
    rest
}

/// The words, if they begin with a command of ours; else where the commands are listed.
fn own_words(words: &[&str]) -> String {
    use clap::CommandFactory as _;
    let root = crate::args::Cli::command();
    match words
        .first()
        .is_some_and(|word| root.find_subcommand(word).is_some())
    {
        true => join(words),
        false => "--help".to_owned(),
    }
}

/// Names of tools that people type in front.
const TOOLS: [&str; 9] = [
    "ovs-vsctl",
    "ovs-appctl",
    "ovs-ofctl",
    "ovs-dpctl",
    "brctl",
    "bridge-utils",
    "ip",
    "ovs-tcpdump",
    "tcpdump",
];

const NO_FLOWS: &str = "the switch has no flow table: it learns addresses; see fdb show and trace";
const NO_STP: &str = "the switch takes no part in spanning tree; port set PORT bpdu=… says what happens to its frames";

fn name(word: &str) -> String {
    quoted(word)
}

fn meaning(words: &[&str]) -> Option<Meaning> {
    let ours = ovs(words)
        .or_else(|| bonding(words))
        .or_else(|| brctl(words))
        .or_else(|| bridge_tool(words))
        .or_else(|| ip_tool(words));
    if let Some(ours) = ours {
        return Some(Meaning::Use(ours));
    }
    match *words.first()? {
        "add-flow" | "dump-flows" | "del-flows" | "dpctl/dump-flows" | "mod-flows" => {
            Some(Meaning::No(NO_FLOWS))
        }
        "stp" | "setbridgeprio" | "setfd" | "sethello" | "setmaxage" | "setpathcost"
        | "showstp" | "rstp/show" | "stp/show" => Some(Meaning::No(NO_STP)),
        _ => None,
    }
}

/// `ovs-vsctl`, `ovs-appctl`.
fn ovs(words: &[&str]) -> Option<String> {
    Some(match words {
        ["add-br", br, ..] => format!("bridge add {}", name(br)),
        ["del-br", br, ..] => format!("bridge del {}", name(br)),
        ["add-br" | "del-br"] => "bridge add NAME, or bridge del NAME".to_owned(),
        ["list-br", ..] => "bridge list".to_owned(),
        ["br-exists", br, ..] => format!("bridge show {}", name(br)),
        ["add-port", br, port, options @ ..] => {
            let mut ours = format!("port add {} --bridge {}", name(port), name(br));
            for option in options {
                if let Some(vid) = option.strip_prefix("tag=") {
                    ours.push_str(&format!(" --vlan {}", name(vid)));
                } else if let Some(set) = option.strip_prefix("trunks=") {
                    ours.push_str(&format!(" --trunk {}", name(set.trim_matches(['[', ']']))));
                }
            }
            ours
        }
        ["add-port", ..] => "port add NAME --bridge BRIDGE".to_owned(),
        ["del-port", _, port] | ["del-port", port] => format!("port del {}", name(port)),
        ["list-ports" | "list-ifaces", br, ..] => format!("port list --bridge {}", name(br)),
        ["list-ports" | "list-ifaces"] => "port list".to_owned(),
        ["port-to-br" | "iface-to-br", port, ..] => format!("port show {}", name(port)),
        ["set", "port" | "Port", port, option, ..] if option.starts_with("tag=") => {
            format!("port set {} --vlan {}", name(port), name(&option[4..]))
        }
        ["set", "port" | "Port", port, option, ..] if option.starts_with("trunks=") => {
            format!(
                "port set {} --trunk {}",
                name(port),
                name(option[7..].trim_matches(['[', ']']))
            )
        }
        ["set", "bridge" | "Bridge", br, ..] => format!("bridge set {} KEY=VALUE", name(br)),
        ["set", "port" | "Port" | "interface" | "Interface", port, ..] => {
            format!("port set {} KEY=VALUE", name(port))
        }
        ["list", "bridge" | "Bridge", ..] => "bridge list".to_owned(),
        ["list", "port" | "Port" | "interface" | "Interface", ..] => "port list -o wide".to_owned(),
        ["fdb/show", rest @ ..] => with("fdb show", rest),
        ["fdb/flush", br, ..] => format!("fdb flush {}", name(br)),
        ["fdb/flush"] => "fdb flush --all".to_owned(),
        ["fdb/stats-show", ..] => "bridge list -o wide".to_owned(),
        ["fdb/add", _, port, vlan, mac] => {
            format!("fdb add {} {} vlan {}", name(mac), name(port), name(vlan))
        }
        ["ofproto/trace", ..] => "trace PORT FRAME".to_owned(),
        ["dpif/show" | "ofproto/list" | "dpctl/show", ..] => "show".to_owned(),
        [
            "dpif-netdev/pmd-perf-show" | "dpif-netdev/pmd-stats-show" | "version",
            ..,
        ] => "daemon info".to_owned(),
        ["coverage/show" | "dpif/show-dp-features", ..] => "drops".to_owned(),
        ["vlog/set", level, ..] => format!(
            "daemon log set {}",
            name(&level.replace(':', "=").replace("dbg", "debug"))
        ),
        ["vlog/list", ..] => "daemon log".to_owned(),
        ["list-commands", ..] => "--help".to_owned(),
        _ => return None,
    })
}

/// Bonds: `ovs-vsctl`, `ovs-appctl`, `ip link`, `ifenslave`.
fn bonding(words: &[&str]) -> Option<String> {
    Some(match words {
        ["add-bond", br, bond, members @ ..] if !members.is_empty() => {
            let option = |word: &&&str| word.contains('=');
            let members: Vec<String> = members
                .iter()
                .filter(|word| !option(word))
                .map(|word| name(word))
                .collect();
            let (bond, br) = (name(bond), name(br));
            format!(
                "bond add {bond} --bridge {br} --members {}",
                members.join(",")
            )
        }
        ["add-bond", ..] => "bond add NAME --bridge BRIDGE --members A,B".to_owned(),
        ["add-bond-iface", bond, member, ..] | ["ifenslave", bond, member, ..] => {
            format!("bond add-member {} {}", name(bond), name(member))
        }
        ["del-bond-iface", bond, member, ..] => {
            format!("bond del-member {} {}", name(bond), name(member))
        }
        ["add-bond-iface" | "ifenslave", ..] => "bond add-member BOND MEMBER".to_owned(),
        ["del-bond-iface", ..] => "bond del-member BOND MEMBER".to_owned(),
        ["bond/list", ..] => "bond list".to_owned(),
        ["bond/show", rest @ ..] => with("bond show", rest),
        [
            "bond/set-active-member" | "bond/set-active-slave",
            bond,
            member,
            ..,
        ] => {
            format!("bond set-active {} {}", name(bond), name(member))
        }
        ["bond/set-active-member" | "bond/set-active-slave", ..] => {
            "bond set-active BOND MEMBER".to_owned()
        }
        ["bond/hash", ..] => "bond hash BOND FRAME".to_owned(),
        ["lacp/show", rest @ ..] => with("lacp show", rest),
        ["lacp/show-stats", rest @ ..] => format!("{} --stats", with("lacp show", rest)),
        ["link" | "l", "add", rest @ ..] => {
            let rest: Vec<&str> = rest
                .iter()
                .copied()
                .filter(|word| !matches!(*word, "dev" | "name"))
                .collect();
            let [bond, "type", "bond", options @ ..] = rest.as_slice() else {
                return None;
            };
            let mut ours = format!("bond add {} --bridge BRIDGE --members A,B", name(bond));
            for pair in options.chunks_exact(2) {
                ours.push_str(&format!(" {}={}", pair[0], name(pair[1])));
            }
            ours
        }
        _ => return None,
    })
}

fn with(ours: &str, rest: &[&str]) -> String {
    rest.first().map_or_else(
        || ours.to_owned(),
        |first| format!("{ours} {}", name(first)),
    )
}

/// `brctl`.
fn brctl(words: &[&str]) -> Option<String> {
    Some(match words {
        ["addbr", br, ..] => format!("bridge add {}", name(br)),
        ["delbr", br, ..] => format!("bridge del {}", name(br)),
        ["addif", br, port, ..] => format!("port add {} --bridge {}", name(port), name(br)),
        ["delif", _, port, ..] => format!("port del {}", name(port)),
        ["showmacs", rest @ ..] => with("fdb show", rest),
        ["setageing", br, seconds, ..] => {
            format!("bridge set {} --ageing {}s", name(br), name(seconds))
        }
        ["hairpin", _, port, on, ..] => format!("port set {} hairpin={}", name(port), name(on)),
        [
            "addbr" | "delbr" | "addif" | "delif" | "setageing" | "hairpin",
            ..,
        ] => "bridge --help, or port --help".to_owned(),
        _ => return None,
    })
}

/// `bridge vlan|fdb|link|monitor`, with or without `bridge` in front (which is our noun too).
fn bridge_tool(words: &[&str]) -> Option<String> {
    let (Some(&"bridge"), rest) = (words.first(), words.get(1..)?) else {
        return None;
    };
    Some(match rest {
        ["vlan" | "v", verb @ ("add" | "del"), words @ ..] => {
            format!("vlan {verb} {}", join(words))
        }
        ["vlan" | "v", rest @ ..] => {
            format!("vlan show {}", join(rest.get(1..).unwrap_or_default()))
                .trim_end()
                .to_owned()
        }
        ["fdb", verb @ ("add" | "del"), words @ ..] => {
            format!("fdb {verb} {}", join(&fdb_words(words)))
        }
        ["fdb", "append" | "replace", words @ ..] => format!("fdb add {}", join(&fdb_words(words))),
        ["fdb", "flush", rest @ ..] => format!("fdb flush {}", join(rest)).trim_end().to_owned(),
        ["fdb", rest @ ..] => format!(
            "fdb show --iproute2 {}",
            join(rest.get(1..).unwrap_or_default())
        )
        .trim_end()
        .to_owned(),
        ["link", "set", "dev", port, rest @ ..] | ["link", "set", port, rest @ ..] => {
            let mut ours = format!("port set {}", name(port));
            for pair in rest.chunks_exact(2) {
                ours.push_str(&format!(" {}={}", pair[0], pair[1]));
            }
            ours
        }
        ["link", ..] => "port list -o wide".to_owned(),
        ["monitor", "fdb", ..] => "fdb watch".to_owned(),
        ["monitor", ..] => "monitor".to_owned(),
        _ => return None,
    })
}

/// The words of `bridge fdb add` without those that mean nothing here.
fn fdb_words<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let dropped = ["master", "self", "temp", "static", "dynamic", "permanent"];
    words
        .iter()
        .copied()
        .filter(|word| !dropped.contains(word))
        .collect()
}

/// `ip link`, `tcpdump`.
fn ip_tool(words: &[&str]) -> Option<String> {
    let rest = match words {
        ["link" | "l", rest @ ..] => rest,
        ["neigh" | "neighbour", ..] => return Some("fdb show".to_owned()),
        ["tuntap", "add", "dev", port, ..] | ["tuntap", "add", port, ..] => {
            return Some(format!(
                "port add {} --bridge BRIDGE --kind tap",
                name(port)
            ));
        }
        _ => return None,
    };
    // `dev` and `name` are optional words of ip.
    let rest: Vec<&str> = rest
        .iter()
        .copied()
        .filter(|word| !matches!(*word, "dev" | "name"))
        .collect();
    Some(match rest.as_slice() {
        ["add", br, "type", "bridge", ..] => format!("bridge add {}", name(br)),
        ["add", ..] => "bridge add NAME, or port add NAME --bridge BRIDGE".to_owned(),
        ["del" | "delete", port, ..] => format!("port del {0}, or bridge del {0}", name(port)),
        ["set", port, "master", br, ..] => format!("port add {} --bridge {}", name(port), name(br)),
        ["set", port, "nomaster", ..] => format!("port del {}", name(port)),
        ["set", port, state @ ("up" | "down"), ..] => format!("port {state} {}", name(port)),
        ["set", port, "mtu", mtu, ..] => format!("port set {} --mtu {}", name(port), name(mtu)),
        ["set", port, "address", mac, ..] => format!("port set {} --mac {}", name(port), name(mac)),
        ["set", port, ..] => format!("port set {} KEY=VALUE", name(port)),
        ["show", port, ..] => format!("port show {}", name(port)),
        _ => "port list".to_owned(),
    })
}

fn join(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| quoted(word))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A refusal of the command tree in our own form.
pub(crate) fn explain(error: &clap::Error, words: &[String]) -> Failure {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let suggestion = |kind| match error.get(kind) {
        Some(ContextValue::Strings(texts)) => texts.last().cloned(),
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let wrong = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            let mut failure = Failure::usage(format!("there is no command \"{wrong}\""));
            failure.near = suggestion(ContextKind::SuggestedSubcommand).map(|right| (wrong, right));
            failure.help("vswctl --help lists the commands")
        }
        ErrorKind::UnknownArgument => {
            let wrong = text(ContextKind::InvalidArg).unwrap_or_default();
            let what = if wrong.starts_with('-') {
                "there is no option"
            } else {
                "there is a word too many:"
            };
            let mut failure = Failure::usage(format!("{what} \"{wrong}\""));
            failure.near = suggestion(ContextKind::SuggestedArg).map(|right| (wrong, right));
            failure.help(help_of(words))
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let mut failure = Failure::usage("a command is missing");
            let known = clap_commands(words);
            failure.facts.push(("known", known));
            failure.help(help_of(words))
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::Strings(names)) => names.join(" "),
                _ => "something".to_owned(),
            };
            let said = words
                .iter()
                .map(|word| quoted(word))
                .collect::<Vec<_>>()
                .join(" ");
            Failure::usage(format!("{missing} is missing: vswctl {said}")).help(help_of(words))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let rendered = error.render().to_string();
            let mut lines = rendered
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty());
            let what = lines
                .next()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned();
            let mut failure = Failure::usage(what);
            for line in
                lines.take_while(|line| !line.starts_with("Usage") && !line.starts_with("For more"))
            {
                let line = line.trim_start_matches('[').trim_end_matches(']');
                match line.strip_prefix("possible values: ") {
                    Some(known) => failure.facts.push(("known", known.to_owned())),
                    None => match line.strip_prefix("tip: ") {
                        Some(tip) => failure.help.push(tip.to_owned()),
                        None => failure.what.push_str(&format!(" {line}")),
                    },
                }
            }
            failure.help(help_of(words))
        }
        _ => {
            let rendered = error.render().to_string();
            let what = rendered
                .lines()
                .next()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned();
            Failure::usage(what).help(help_of(words))
        }
    }
}

/// The commands of the level at which the words end.
fn clap_commands(words: &[String]) -> String {
    use clap::CommandFactory as _;
    let root = crate::args::Cli::command();
    let noun = words.iter().find_map(|word| root.find_subcommand(word));
    let level = noun.filter(|noun| noun.has_subcommands()).unwrap_or(&root);
    let names = level
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && command.get_name() != "help");
    names
        .map(clap::Command::get_name)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Which help to read.
fn help_of(words: &[String]) -> String {
    use clap::CommandFactory as _;
    let root = crate::args::Cli::command();
    let mut level = &root;
    let mut path = String::from("vswctl");
    for word in words {
        if let Some(next) = level.find_subcommand(word) {
            path.push(' ');
            path.push_str(next.get_name());
            level = next;
        }
    }
    format!("{path} --help")
}

#[cfg(test)]
mod tests;

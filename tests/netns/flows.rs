//! Numbered datagrams of many flows, and who notices that one overtook another: `flows.py` in two hosts.

use crate::lab::Lab;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// `flows.py` in a host.
pub(crate) struct Script {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Script {
    pub(crate) fn start(lab: &Lab, host: &str, arguments: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("netns/flows.py");
        let mut child = Command::new("ip")
            .args(["netns", "exec", &lab.ns(host), "python3"])
            .arg(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("its output"));
        Self {
            child,
            orders,
            answers,
        }
    }

    pub(crate) fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("an answer");
        line.trim().to_owned()
    }

    /// Gives an order and waits for its answer.
    pub(crate) fn order(&mut self, line: &str) -> String {
        let orders = self.orders.as_mut().expect("it runs");
        writeln!(orders, "{line}").expect("it takes orders");
        self.answer()
    }

    /// What a receiver tells at the end: frames and disorders, by flow.
    pub(crate) fn end(mut self) -> BTreeMap<String, (u64, u64)> {
        self.orders = None;
        let told = self.answer();
        serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

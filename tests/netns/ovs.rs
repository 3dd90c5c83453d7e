//! Open vSwitch as the other side: Debian's package, userspace datapath, in a namespace of a lab.

use crate::lab::{Lab, eventually, run, sh};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// A running Open vSwitch with a bridge `br0`.
pub(crate) struct Ovs {
    folder: PathBuf,
    ns: String,
    processes: Vec<Child>,
}

/// Whether it is installed; says so where it is not.
pub(crate) fn is_installed() -> bool {
    let there = Path::new(SCHEMA).exists();
    if !there {
        // Not by a macro, whose output the test runner keeps to itself where a test passes.
        let told = b"SKIPPED: Open vSwitch is not here: apt-get install openvswitch-switch\n";
        let _told = std::io::stderr().write_all(told);
    }
    there
}

impl Ovs {
    /// Starts it in that namespace.
    pub(crate) fn start(lab: &Lab, ns: &str) -> Self {
        let folder = lab.file("ovs");
        std::fs::create_dir_all(&folder).expect("a folder for Open vSwitch");
        let mut ovs = Self {
            folder,
            ns: lab.ns(ns),
            processes: Vec::new(),
        };
        let (database, socket) = (ovs.path("conf.db"), ovs.path("db.sock"));
        run(&format!("ovsdb-tool create {database} {SCHEMA}"));
        let control = ovs.path("db.ctl");
        ovs.spawn(&format!(
            "ovsdb-server {database} --remote=punix:{socket} --unixctl={control} --no-chdir"
        ));
        eventually("the database answers", || {
            sh(&format!("ovs-vsctl --db=unix:{socket} --no-wait init"))
                .status
                .success()
        });
        let control = ovs.path("switch.ctl");
        ovs.spawn(&format!(
            "ovs-vswitchd unix:{socket} --unixctl={control} --no-chdir"
        ));
        ovs.set("add-br br0 -- set bridge br0 datapath_type=netdev");
        ovs
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn spawn(&mut self, line: &str) {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.ns]);
        command.args(line.split(' '));
        for place in ["RUN", "DB", "LOG", "SYSCONF"] {
            command.env(format!("OVS_{place}DIR"), &self.folder);
        }
        let log = std::fs::File::create(self.folder.join("log")).expect("a log");
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        self.processes
            .push(command.stderr(log).spawn().expect("a part of Open vSwitch"));
    }

    /// `ovs-vsctl`; waits until the daemon has done it.
    pub(crate) fn set(&self, words: &str) -> String {
        let socket = self.path("db.sock");
        run(&format!(
            "ovs-vsctl --db=unix:{socket} --timeout=10 {words}"
        ))
    }

    /// `ovs-appctl`.
    pub(crate) fn ask(&self, words: &str) -> String {
        let socket = self.path("switch.ctl");
        run(&format!(
            "ovs-appctl --timeout=10 --target={socket} {words}"
        ))
    }

    /// Whether that member of the bond may be used and is `current`.
    pub(crate) fn member_is_good(&self, bond: &str, member: &str) -> bool {
        let bonds = self.ask(&format!("bond/show {bond}"));
        let enabled = bonds.contains(&format!("member {member}: enabled"));
        let lacp = self.ask(&format!("lacp/show {bond}"));
        let current = lacp.contains(&format!("member: {member}: current attached"));
        enabled && current
    }
}

impl Drop for Ovs {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ended = process.kill();
            let _reaped = process.wait();
        }
    }
}

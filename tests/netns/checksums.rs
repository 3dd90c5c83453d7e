//! Every checksum that a host receives, looked at by tcpdump.
//!
//! A capture on the receiving device itself proves nothing. Between software devices a frame keeps its
//! *partial* checksum (the sum over the pseudo header, for the next NIC to complete) and its 64 KB, and
//! the receiver trusts it by its metadata; tcpdump, which sees bytes only, calls every such frame
//! incorrect on the healthiest link. Switching offloads off instead would test another path than the
//! one that hosts use.
//!
//! So the host copies what arrives, as it arrives, onto a device that can neither complete a checksum
//! nor cut a segment. The kernel then does for the copy what a NIC would have done, from exactly the
//! metadata that the switch handed over, and tcpdump looks at the result:
//!
//! ```text
//!   switch ──► the host's device ──► its stack
//!                      │ nft "dup to"
//!                      └─► chk0 (tx, tso, gso off) ──► chk1 ──► tcpdump -vv
//! ```
//!
//! A wrong sum stays wrong, and so does a right one with a start that was not moved along with a tag.

use crate::lab::{Lab, eventually, run, sh};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Frames looked at most: enough to see a storm's beginning, little enough to print.
const FRAMES_MAX: u32 = 5_000;

/// How tcpdump says it, for TCP and for the others. A good checksum may well be 0xbad.
const WRONG: [&str; 4] = ["incorrect", "bad cksum", "bad udp cksum", "bad icmp6 cksum"];

/// What tcpdump has to say about the frames that one host receives from now on.
pub(crate) struct Checksums {
    ns: String,
    host: String,
    said: PathBuf,
    tcpdump: Child,
}

impl Checksums {
    /// Begins to look at what `dev` of `host` receives.
    pub(crate) fn watch(lab: &Lab, host: &str, dev: &str, mtu: u32) -> Self {
        let ns = lab.ns(host);
        run(&format!(
            "ip -n {ns} link add chk0 mtu {mtu} type veth peer name chk1 mtu {mtu}"
        ));
        for end in ["chk0", "chk1"] {
            run(&format!(
                "ip netns exec {ns} sysctl -qw net.ipv6.conf.{end}.disable_ipv6=1"
            ));
        }
        run(&format!(
            "ip netns exec {ns} ethtool -K chk0 tx off tso off gso off && ip -n {ns} link set chk1 up \
             && ip -n {ns} link set chk0 up"
        ));
        run(&format!(
            "ip netns exec {ns} nft 'table netdev chk {{ chain arriving {{ \
             type filter hook ingress device {dev} priority 0; dup to \"chk0\"; }}; }}'"
        ));
        let said = lab.file(&format!("{host}.tcpdump"));
        let log = lab.file(&format!("{host}.tcpdump.log"));
        // Immediately: what waits in its ring when it is interrupted would not be told. That ring has
        // slots of the longest frame, so few unless it is told how long that is.
        let options = format!(
            "-i chk1 -nn -vv -Q in --immediate-mode -c {FRAMES_MAX} -s {} -B 16384",
            mtu + 14
        );
        let tcpdump = Command::new("ip")
            .args(["netns", "exec", &ns, "tcpdump"])
            .args(options.split(' '))
            .stdin(Stdio::null())
            .stdout(File::create(&said).expect("a file for tcpdump"))
            .stderr(File::create(&log).expect("a log of tcpdump"))
            .spawn()
            .expect("tcpdump");
        eventually("tcpdump listens", || {
            fs::read_to_string(&log).is_ok_and(|log| log.contains("listening on"))
        });
        Self {
            ns,
            host: host.to_owned(),
            said,
            tcpdump,
        }
    }

    /// Ends the capture; how many TCP segments had a right checksum.
    ///
    /// # Panics
    /// When tcpdump called any checksum of any frame wrong: IPv4, TCP, UDP, ICMPv6.
    pub(crate) fn all_right(mut self) -> usize {
        // Not an error when it has ended by itself after its last frame.
        sh(&format!("kill -INT {}", self.tcpdump.id()));
        let _status = self.tcpdump.wait();
        let said = fs::read_to_string(&self.said).expect("what tcpdump said");
        let wrong: Vec<&str> = said
            .lines()
            .filter(|line| WRONG.iter().any(|word| line.contains(word)))
            .collect();
        assert!(
            wrong.is_empty(),
            "{} received {} frames with a wrong checksum:\n{}",
            self.host,
            wrong.len(),
            wrong[..wrong.len().min(5)].join("\n")
        );
        said.matches("(correct)").count()
    }
}

impl Drop for Checksums {
    fn drop(&mut self) {
        let _killed = self.tcpdump.kill();
        let _reaped = self.tcpdump.wait();
        sh(&format!(
            "ip netns exec {} nft delete table netdev chk",
            self.ns
        ));
        sh(&format!("ip -n {} link del chk0", self.ns));
    }
}

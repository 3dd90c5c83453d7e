//! The kernel's answer: a kernel bridge between the machines, and behind it the kernel's own cutting and
//! summing for each device that cannot.

use super::lane::{Form, Got, INS, Lane, VLAN, WAYS, behind, out_device};
use crate::lab::{Lab, run, sh};
use std::io;
use vswitch_tests::unfinished::Unfinished;

/// A kernel bridge between machines.
pub(crate) struct Kernel {
    pub(crate) lane: Lane,
    /// Whether the bridge takes tags off and puts them on.
    retags: bool,
}

impl Kernel {
    pub(crate) fn new(lab: &mut Lab) -> Self {
        let ns = lab.namespace("kernel");
        let lane = Lane::new(lab, "kernel");
        // Netfilter of bridges would look into packets and drop what it finds odd.
        sh(&format!(
            "ip netns exec {ns} sysctl -qw net.bridge.bridge-nf-call-iptables=0 \
             net.bridge.bridge-nf-call-ip6tables=0"
        ));
        run(&format!(
            "ip -n {ns} link add br0 type bridge mcast_snooping 0"
        ));
        let retags = sh(&format!(
            "ip -n {ns} link set br0 type bridge vlan_filtering 1 vlan_default_pvid 0"
        ));
        let retags = retags.status.success()
            && run(&format!(
                "ip netns exec {ns} cat /sys/class/net/br0/bridge/vlan_filtering"
            ))
            .trim()
                == "1";
        let outs = WAYS.map(|way| (out_device(&way), way.form));
        let ins = INS.map(|(device, form)| (device.to_owned(), form));
        for (device, form) in ins.iter().chain(&outs) {
            run(&format!("ip -n {ns} link set {device} master br0"));
            if retags {
                let untagged = match form {
                    Form::Untagged => "pvid untagged",
                    Form::Tagged => "",
                };
                run(&format!(
                    "bridge -n {ns} vlan add dev {device} vid {VLAN} {untagged}"
                ));
            }
        }
        for (device, _) in &ins {
            run(&format!("bridge -n {ns} link set dev {device} flood off"));
        }
        run(&format!("ip -n {ns} link set br0 up"));
        Self { lane, retags }
    }

    /// What each way gets of a frame that comes in tagged like that.
    ///
    /// A kernel without VLAN filtering of bridges (`CONFIG_BRIDGE_VLAN_FILTERING`) is asked twice, with
    /// the frame as it is to leave: its answers are the filtering bridge's, because neither cutting nor
    /// summing looks at the VLAN's tag, which the bridge changes before.
    ///
    /// # Errors
    /// The errno with which the kernel refused the frame.
    pub(crate) fn pass(&mut self, form: Form, frame: &Unfinished) -> io::Result<Vec<Vec<Got>>> {
        if self.retags {
            return self.lane.pass(form, &behind(form.tag(), frame));
        }
        let mut answer = |out: Form| {
            let frame = behind(form.tag_on(out), frame);
            self.lane.pass(out, &frame)
        };
        let (untagged, tagged) = (answer(Form::Untagged)?, answer(Form::Tagged)?);
        let each = WAYS.iter().zip(untagged.into_iter().zip(tagged));
        let pick = each.map(|(way, (untagged, tagged))| match way.form {
            Form::Untagged => untagged,
            Form::Tagged => tagged,
        });
        Ok(pick.collect())
    }
}

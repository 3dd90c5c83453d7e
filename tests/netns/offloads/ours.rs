//! Our answers: the daemon between the machines, where the kernel sums and the switch cuts for a device
//! that cannot; and the data plane on ports of memory that can do nothing, where the switch does both.

use super::lane::{Form, Got, INS, Lane, MTU, SRC, VLAN, WAYS, behind, out_device};
use crate::lab::{Lab, Switch};
use std::io;
use vswitch_base::{BridgeIndex, PortIndex};
use vswitch_core::port::TxCaps;
use vswitch_core::snapshot::PortView;
use vswitch_core::testing::{MemFrame, MemSwitch, vid};
use vswitch_tests::unfinished::Unfinished;

/// Our daemon between machines.
pub(crate) struct Daemon {
    // Ends before its devices go.
    switch: Switch,
    lane: Lane,
}

impl Daemon {
    pub(crate) fn new(lab: &mut Lab) -> Self {
        lab.namespace("switch");
        let lane = Lane::new(lab, "switch");
        // One worker: frames that come in by one port leave in their order in any case, but a machine
        // that waits for a marker needs no second one.
        let mut config = format!("[daemon]\nworkers = 1\n[bridge.br0]\nmtu = {MTU}\n");
        let port = |device: &str, form: Form, flood: bool| {
            let vlan = match form {
                Form::Untagged => format!("vlan = {VLAN}"),
                Form::Tagged => format!("trunk = [{VLAN}]"),
            };
            format!("[port.{device}]\nkind = \"nic\"\nbridge = \"br0\"\n{vlan}\nflood = {flood}\n")
        };
        for (device, form) in INS {
            config += &port(device, form, false);
        }
        for way in WAYS {
            config += &port(&out_device(&way), way.form, true);
        }
        let switch = lab.switch("switch", &config);
        Self { switch, lane }
    }

    /// What each way gets of a frame that comes in tagged like that.
    ///
    /// # Errors
    /// The errno with which the kernel refused the frame at the entrance.
    pub(crate) fn pass(&mut self, form: Form, frame: &Unfinished) -> io::Result<Vec<Vec<Got>>> {
        self.lane.pass(form, &behind(form.tag(), frame))
    }

    /// The same, of a frame as it is.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn pass_raw(&mut self, form: Form, frame: &MemFrame) -> io::Result<Vec<Vec<Got>>> {
        self.lane.pass(form, frame)
    }

    /// The machines around it.
    pub(crate) const fn lane(&mut self) -> &mut Lane {
        &mut self.lane
    }

    /// Frames and copies dropped so far for their offload header, over all ports.
    pub(crate) fn drops(&self) -> u64 {
        let reply = self.switch.drops();
        let rows = reply["drops"].as_array().expect("rows");
        rows.iter()
            .filter(|row| matches!(row["reason"].as_str(), Some("bad-offload" | "tx-offload")))
            .filter_map(|row| row["frames"].as_u64())
            .sum()
    }
}

/// Our data plane between ports of memory, each with the capabilities of its way and no kernel behind it.
pub(crate) struct Memory {
    switch: MemSwitch,
}

/// The number of the first way's port; those that frames come in by are before it.
const FIRST: u16 = 2;

impl Memory {
    pub(crate) fn new() -> Self {
        let mut switch = MemSwitch::new();
        let mut add = |number: u16, form: Form, caps: TxCaps, floods: bool| {
            let (index, bridge) = (PortIndex(number), BridgeIndex(0));
            let mut view = match form {
                Form::Untagged => PortView::access(index, bridge, vid(VLAN)),
                Form::Tagged => PortView::trunk(index, bridge, &[vid(VLAN)]),
            };
            view.mtu = u16::try_from(MTU).expect("a jumbo frame");
            if !floods {
                view.floods = 0;
            }
            switch.add_with(number, view, caps);
        };
        for (number, (_, form)) in (0..).zip(INS) {
            add(number, form, TxCaps::NONE, false);
        }
        for (number, way) in (FIRST..).zip(WAYS) {
            add(number, way.form, way.caps, true);
        }
        Self { switch }
    }

    /// What each way gets of a frame that comes in tagged like that.
    pub(crate) fn pass(&mut self, form: Form, frame: &Unfinished) -> Vec<Vec<Got>> {
        assert_eq!(frame.src, SRC);
        self.pass_raw(form, &behind(form.tag(), frame))
    }

    /// The same, of a frame as it is.
    pub(crate) fn pass_raw(&mut self, form: Form, frame: &MemFrame) -> Vec<Vec<Got>> {
        let port = INS.iter().position(|(_, f)| *f == form);
        let port = u16::try_from(port.expect("both forms")).expect("0 or 1");
        self.switch.inject(port, frame.clone());
        let mut sent = self.switch.take_sent();
        (FIRST..)
            .zip(WAYS)
            .map(|(number, _)| {
                let frames = sent.remove(&number).unwrap_or_default();
                let got = frames.iter().map(|f| Got::new(&f.offload, &f.bytes));
                got.collect()
            })
            .collect()
    }

    /// Frames and copies dropped so far, whatever the reason.
    pub(crate) fn drops(&self) -> u64 {
        let ports = 0..FIRST + u16::try_from(WAYS.len()).expect("a few");
        ports
            .map(|port| self.switch.totals(port).drops.iter().sum::<u64>())
            .sum()
    }
}

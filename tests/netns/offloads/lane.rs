//! A lane: machines that send into a switch, and machines behind ports of every kind of egress that
//! take down what becomes of each frame.
//!
//! Every frame is followed by a marker on the same way. What a machine gets before the marker became of
//! the frame, so nobody waits for a time, and nothing is as visible as something.

use crate::lab::{Lab, run};
use std::io;
use std::path::Path;
use std::time::Duration;
use vswitch_base::{EtherType, MacAddr, Tag};
use vswitch_core::frame::VnetHdr;
use vswitch_core::port::TxCaps;
use vswitch_core::testing::{MemFrame, dot1q, frame, station};
use vswitch_io::NetNs;
use vswitch_io::wire::Machine;
use vswitch_tests::unfinished::Unfinished;

/// The VLAN of all frames.
pub(crate) const VLAN: u16 = 10;
/// Payload of the lanes' ports in bytes: jumbo frames fit.
pub(crate) const MTU: u32 = 9_000;
/// To whom all frames go: nobody has that address, so they are flooded.
pub(crate) const DST: MacAddr = station(0x0d);
/// From whom.
pub(crate) const SRC: MacAddr = station(0x05);
/// To whom markers go.
pub(crate) const MARKER: MacAddr = station(0x0e);
/// A switch that is not stopped passes a marker on at once. Only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// For a frame that may well not come.
const MOMENT: Duration = Duration::from_millis(100);

/// How a frame is tagged on a wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// Without the VLAN's tag.
    Untagged,
    /// With it.
    Tagged,
}

/// Both forms.
pub(crate) const FORMS: [Form; 2] = [Form::Untagged, Form::Tagged];

impl Form {
    /// The VLAN's tag on a frame that comes in like this: of some priority.
    pub(crate) fn tag(self) -> Option<Tag> {
        (self == Self::Tagged).then_some(dot1q(0x6000 | VLAN))
    }

    /// The VLAN's tag on a frame that came in like this and leaves as `out`.
    pub(crate) fn tag_on(self, out: Self) -> Option<Tag> {
        (out == Self::Tagged).then(|| self.tag().unwrap_or(dot1q(VLAN)))
    }
}

/// A frame whose own tags come behind `tag`.
pub(crate) fn behind(tag: Option<Tag>, frame: &Unfinished) -> MemFrame {
    let tags = tag.into_iter().chain(frame.tags.iter().copied()).collect();
    Unfinished {
        tags,
        ..frame.clone()
    }
    .frame()
}

/// A port that frames leave by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Way {
    /// Letter in names of devices.
    pub(crate) letter: char,
    /// Its tagging.
    pub(crate) form: Form,
    /// What the machine behind it can finish itself.
    pub(crate) caps: TxCaps,
}

const SUMS: TxCaps = TxCaps {
    checksum: true,
    ..TxCaps::NONE
};

/// Every way out: to machines that finish nothing, or the checksum, or all.
pub(crate) const WAYS: [Way; 5] = [
    Way {
        letter: 'u',
        form: Form::Untagged,
        caps: TxCaps::NONE,
    },
    Way {
        letter: 't',
        form: Form::Tagged,
        caps: TxCaps::NONE,
    },
    Way {
        letter: 's',
        form: Form::Untagged,
        caps: SUMS,
    },
    Way {
        letter: 'p',
        form: Form::Tagged,
        caps: SUMS,
    },
    Way {
        letter: 'w',
        form: Form::Tagged,
        caps: TxCaps::ALL,
    },
];

/// One frame as a machine got it, without what are only hints: the length of the headers, and whether a
/// complete checksum was looked at.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Got {
    /// Where a checksum starts and is stored, if it is left to do.
    pub(crate) sum: Option<(u16, u16)>,
    /// Type and size of segments, if they are left to do.
    pub(crate) gso: Option<(u8, u16)>,
    /// From the destination address on.
    pub(crate) bytes: Vec<u8>,
}

impl Got {
    pub(crate) fn new(offload: &VnetHdr, bytes: &[u8]) -> Self {
        Self {
            sum: offload
                .needs_csum()
                .then_some((offload.csum_start, offload.csum_offset)),
            gso: offload
                .is_gso()
                .then_some((offload.gso_type, offload.gso_size)),
            bytes: bytes.to_vec(),
        }
    }
}

impl std::fmt::Debug for Got {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let head = vswitch_tests::hex::encode(&self.bytes[..self.bytes.len().min(96)]);
        let len = self.bytes.len();
        write!(
            f,
            "{len} bytes, sum {:?}, gso {:?}: {head}",
            self.sum, self.gso
        )
    }
}

/// A switch of devices between machines.
pub(crate) struct Lane {
    senders: [(Form, Machine); 2],
    receivers: Vec<(Way, Machine)>,
    markers: u32,
    /// See [`knows_udp_segmentation`].
    pub(crate) uso: bool,
}

/// Whether this kernel's TAPs know UDP segmentation (Linux 6.2).
pub(crate) fn knows_udp_segmentation(lab: &Lab, name: &str) -> bool {
    namespace(lab, name)
        .run(|| Machine::open("probe", TxCaps::ALL))
        .is_ok()
}

fn namespace(lab: &Lab, name: &str) -> NetNs {
    NetNs::open(&Path::new("/run/netns").join(lab.ns(name))).expect("the namespace")
}

/// Devices that frames come in by.
pub(crate) const INS: [(&str, Form); 2] = [("iu", Form::Untagged), ("it", Form::Tagged)];

/// The device of a way out.
pub(crate) fn out_device(way: &Way) -> String {
    format!("o{}", way.letter)
}

impl Lane {
    /// Makes the devices in a namespace of the lab; they are up, but belong to no switch yet.
    pub(crate) fn new(lab: &Lab, name: &str) -> Self {
        let ns = lab.ns(name);
        // Nobody else speaks here.
        run(&format!(
            "ip netns exec {ns} sysctl -qw net.ipv6.conf.default.disable_ipv6=1"
        ));
        let (netns, uso) = (namespace(lab, name), knows_udp_segmentation(lab, name));
        let make = |device: &str, caps: TxCaps| {
            let takes = TxCaps {
                uso: caps.uso && uso,
                ..caps
            };
            let machine = netns
                .run(|| Machine::open(device, takes))
                .unwrap_or_else(|error| panic!("{device}: {error}"));
            // Room for all segments of a frame, however slowly they are read.
            run(&format!(
                "ip -n {ns} link set {device} mtu {MTU} txqueuelen 8192 up"
            ));
            machine
        };
        Self {
            senders: INS.map(|(device, form)| (form, make(device, TxCaps::NONE))),
            receivers: WAYS
                .iter()
                .map(|way| (*way, make(&out_device(way), way.caps)))
                .collect(),
            markers: 0,
            uso,
        }
    }

    /// Sends a frame into the switch and gives what each way got of it, in the order of [`WAYS`].
    ///
    /// # Errors
    /// The errno with which the kernel refused the frame at its entrance.
    ///
    /// # Panics
    /// When a marker does not arrive.
    pub(crate) fn pass(&mut self, form: Form, frame: &MemFrame) -> io::Result<Vec<Vec<Got>>> {
        let accepted = self.sender(form).send(&frame.offload, &frame.bytes);
        let number = self.mark(form);
        let got = self.receivers.iter_mut().map(|(way, machine)| {
            let (got, marked) = until_marker(machine, number, PATIENCE);
            assert!(marked, "no marker by way {way:?}, after {got:?}");
            got
        });
        let got = got.collect();
        accepted.map(|()| got)
    }

    /// Whether a marker gets through within a moment.
    pub(crate) fn passes(&mut self, form: Form) -> bool {
        let number = self.mark(form);
        let (_, machine) = &mut self.receivers[0];
        until_marker(machine, number, MOMENT).1
    }

    /// Whether a frame, or what became of it, gets through within a moment.
    pub(crate) fn carries(&mut self, form: Form, frame: &MemFrame) -> bool {
        self.throw(form, &frame.offload, &frame.bytes);
        let number = self.mark(form);
        let receivers = self.receivers.iter_mut();
        let heard = receivers.map(|(_, machine)| until_marker(machine, number, MOMENT));
        // All are heard, so that nothing is left for the next question.
        let heard: Vec<_> = heard.collect();
        let (got, marked) = &heard[0];
        *marked && !got.is_empty()
    }

    /// Sends a frame and waits for nothing.
    ///
    /// # Panics
    /// When the kernel refuses it.
    pub(crate) fn throw(&self, form: Form, offload: &VnetHdr, bytes: &[u8]) {
        self.sender(form).send(offload, bytes).expect("taken");
    }

    fn sender(&self, form: Form) -> &Machine {
        let [(_, untagged), (_, tagged)] = &self.senders;
        match form {
            Form::Untagged => untagged,
            Form::Tagged => tagged,
        }
    }

    /// Sends a marker; its number.
    fn mark(&mut self, form: Form) -> u32 {
        self.markers += 1;
        let marker = marker(form, self.markers);
        let sender = self.sender(form);
        sender.send(&VnetHdr::NONE, &marker).expect("a marker");
        self.markers
    }
}

fn marker(form: Form, number: u32) -> Vec<u8> {
    let tags: Vec<Tag> = form.tag().into_iter().collect();
    let mut bytes = frame(MARKER, SRC, &tags, EtherType(0x88b5), 70);
    bytes.extend(number.to_be_bytes());
    bytes
}

/// What a machine gets before a marker of that number, and whether that came.
pub(crate) fn until_marker(
    machine: &mut Machine,
    number: u32,
    patience: Duration,
) -> (Vec<Got>, bool) {
    let mut all = Vec::new();
    while let Some((offload, bytes)) = machine.receive(patience).expect("a TAP that lives") {
        if bytes[..6] == MARKER.0 {
            if bytes[bytes.len() - 4..] == number.to_be_bytes() {
                return (all, true);
            }
        } else if bytes[6..12] == SRC.0 {
            all.push(Got::new(&offload, bytes));
        }
    }
    (all, false)
}

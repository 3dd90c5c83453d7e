//! The passes on one frame with a recorder in place of effects (`vswctl trace`).
//!
//! One implementation, never two: the passes are generic over a [`Recorder`]. The live one records
//! nothing and costs nothing; the one here keeps every step and tells the passes not to learn.

use crate::bond::{Chosen, RoundRobin, Transmit};
use crate::egress;
use crate::fdb::{EntryKind, FdbKey, Learned};
use crate::forward;
use crate::frame::Frame;
use crate::ingress::{Classified, classify, end_watched, turn_away};
use crate::learn;
use crate::snapshot::Snapshot;
use crate::verdict::{DropReason, Egress, FloodClass, Verdict};
use vswitch_base::{Instant, MacAddr, MacWord, PortIndex, Tci, Vid};

/// Hears of every step that a pass takes.
pub trait Recorder {
    /// Whether the passes act (learn, note uses) or only tell.
    const LIVE: bool;
    /// Notes a step; a live recorder does not even make it.
    fn note(&mut self, step: impl FnOnce() -> Step);
}

/// The recorder of the data path.
#[derive(Debug)]
pub struct Live;

impl Recorder for Live {
    const LIVE: bool = true;

    #[inline]
    fn note(&mut self, _step: impl FnOnce() -> Step) {}
}

/// A step of a frame through the switch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The port is in no bridge, or not there.
    NoBridge,
    /// Admitted into a VLAN.
    Admitted {
        /// The VLAN, `None` where VLANs are not filtered.
        vid: Option<Vid>,
        /// The tag it came with, 0 for none.
        tag: Option<Tci>,
    },
    /// What learning would do with the source.
    Learn {
        /// Its answer.
        learned: Learned,
    },
    /// The destination is a group.
    Group {
        /// Which kind.
        class: FloodClass,
    },
    /// The destination is not in the FDB.
    Unknown,
    /// The destination is in the FDB.
    Known {
        /// Behind that port.
        port: PortIndex,
        /// How it came into the table.
        kind: EntryKind,
    },
    /// A copy leaves there.
    Out {
        /// Where, and whether tagged.
        egress: Egress,
    },
    /// The copy for a bond travels by that member.
    By {
        /// The member.
        member: PortIndex,
        /// Why that one.
        why: Chosen,
        /// The source that the copy leaves with; `None`: its own.
        source: Option<MacAddr>,
    },
    /// No copy for that port, which is in the flood set.
    Skip {
        /// The port.
        port: PortIndex,
        /// Why not.
        why: Skipped,
    },
}

/// Why a port of the flood set, or the one destination, gets no copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Skipped {
    /// The frame came from there.
    Ingress,
    /// Both ports are isolated.
    Isolated,
    /// The port is not flooded with this class.
    FloodOff,
    /// Too large for it.
    Oversize,
    /// No room at the port's rate now.
    Policed,
}

/// What would become of a frame.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Step by step.
    pub steps: Vec<Step>,
    /// The outcome; a flood that reaches nobody is a drop.
    pub verdict: Verdict,
    /// The frame after pass 1.
    pub classified: Option<Classified>,
}

struct Notebook(Vec<Step>);

impl Recorder for Notebook {
    const LIVE: bool = false;

    fn note(&mut self, step: impl FnOnce() -> Step) {
        self.0.push(step());
    }
}

/// Runs the passes on `frame` as if it came in by `ingress`; nothing is learned, counted or sent.
#[must_use]
pub fn explain(
    snapshot: &Snapshot,
    ingress: PortIndex,
    frame: &Frame<'_>,
    now: Instant,
) -> Explanation {
    let mut notes = Notebook(Vec::new());
    let Some(entrance) = forward::entrance(snapshot, ingress) else {
        let verdict = Verdict::Drop(DropReason::NoBridge);
        return Explanation {
            steps: vec![Step::NoBridge],
            verdict,
            classified: None,
        };
    };
    let (logical, port, bridge) = (entrance.logical, entrance.port, entrance.bridge);
    let mut class = classify(frame, port, bridge);
    let watched = entrance
        .watched
        .and_then(|watched| watched.wants(frame.bytes));
    if watched == Some(true) {
        end_watched(&mut class);
    }
    turn_away::<Notebook>(&mut class, frame, entrance.admits, port, now);
    if class.learnable {
        let tag = egress::received_tci(frame, &class);
        notes.note(|| Step::Admitted {
            vid: class.vid,
            tag,
        });
    }
    if let Some(protection) = port.protection.as_deref() {
        protection.examine::<Notebook>(&mut class, frame, now);
    }
    let now_s = now.as_secs_u32();
    let probe = bridge.fdb.probe(FdbKey::new(class.vid, class.src));
    learn::learn(
        &mut class, frame, &probe, &entrance, snapshot, now_s, &mut notes,
    );
    let taught = matches!(
        notes.0.last(),
        Some(Step::Learn {
            learned: Learned::New | Learned::Moved { .. }
        })
    );
    let mut verdict = class.verdict.unwrap_or_else(|| {
        if taught && class.src == class.dst {
            // A frame to its own sender finds what it has just taught.
            notes.note(|| Step::Known {
                port: logical,
                kind: EntryKind::Learned,
            });
            return forward::to_port(&class, logical, port, logical, port, bridge)
                .map_or_else(Verdict::Drop, Verdict::Forward);
        }
        let hit = bridge.fdb.find(class.vid, class.dst.mac());
        forward::decide(&class, hit, logical, port, bridge, snapshot, &mut notes)
    });
    let (mut copies, mut lost) = (0, None);
    let mut out = |notes: &mut Notebook, egress: Egress| {
        let to = snapshot.port(egress.port);
        let why = if !to.is_some_and(|p| egress::fits(frame, &class, p.mtu)) {
            Some((Skipped::Oversize, DropReason::TxOversize))
        } else if to.is_some_and(|p| egress::is_policed(frame, &class, egress, p, now)) {
            Some((Skipped::Policed, DropReason::PolicedOut))
        } else {
            None
        };
        notes.note(|| match why {
            None => Step::Out { egress },
            Some((why, _)) => Step::Skip {
                port: egress.port,
                why,
            },
        });
        let fits = why.is_none();
        lost = lost.or_else(|| why.map(|(_, reason)| reason));
        let Some(transmit) = snapshot.transmit(egress.port) else {
            copies += usize::from(fits);
            return;
        };
        let turn = &mut RoundRobin::new(1, 1);
        let flow = || egress::flow(frame, &class, egress.tagged);
        let station = egress::station(&class, egress.tagged);
        if let Some(member) = port.steer(egress.port).filter(|_| fits) {
            let (why, source) = (Chosen::Steered, transmit.source(member).map(MacWord::mac));
            notes.note(|| Step::By {
                member,
                why,
                source,
            });
            copies += 1;
            return;
        }
        transmit.each(station, flow, turn, |member| {
            if fits {
                let why = match transmit {
                    Transmit::Rewritten(by) if flow().is_none_or(|f| by.number(&f).is_none()) => {
                        Chosen::Active
                    }
                    _ => transmit.why(),
                };
                let source = transmit.source(member).map(MacWord::mac);
                notes.note(|| Step::By {
                    member,
                    why,
                    source,
                });
                copies += 1;
            }
        });
    };
    match verdict {
        Verdict::Forward(egress) => {
            out(&mut notes, egress);
            if copies == 0 {
                verdict = Verdict::Drop(lost.unwrap_or(DropReason::EgressBlocked));
            }
        }
        Verdict::Flood(kind) => {
            for flood in bridge.flood_ports(class.vid) {
                if forward::floods_to(flood, kind, logical, port) {
                    out(&mut notes, flood.egress);
                    continue;
                }
                let why = if flood.egress.port == logical {
                    Skipped::Ingress
                } else if flood.isolated && port.flags.isolated {
                    Skipped::Isolated
                } else {
                    Skipped::FloodOff
                };
                notes.note(|| Step::Skip {
                    port: flood.egress.port,
                    why,
                });
            }
            if copies == 0 {
                verdict = Verdict::Drop(lost.unwrap_or(DropReason::NoEgress));
            }
        }
        Verdict::Punt(_) | Verdict::Drop(_) => {}
    }
    Explanation {
        steps: notes.0,
        verdict,
        classified: Some(class),
    }
}

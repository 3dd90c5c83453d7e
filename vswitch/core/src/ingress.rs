//! Pass 1: what a frame is, which VLAN it belongs to, whether it may enter.
//!
//! The order of checks is Linux's (`br_handle_frame`, `br_allowed_ingress`), steps 1 to 5 of the
//! behaviour reference: each relies on those before it. A frame turned away here is not learned, with
//! one exception as in Linux: link-local frames that end here still teach their source.

use crate::bond::{Admits, Station};
use crate::explain::Recorder;
use crate::frame::Frame;
use crate::snapshot::{AcceptFrames, BpduPolicy, BridgeView, PortState, PortView};
use crate::verdict::{DropReason, PuntReason, Verdict};
use vswitch_base::ether::{ADDRESSES_LEN, HEADER_LEN, InBandTag};
use vswitch_base::{EtherView, Instant, MacAddr, MacWord, Tag, Tci, Tpid, Vid};

/// The rest begins after the addresses where no in-band tag was taken out.
const UNTAGGED_CUT: u8 = 12;
const TAG_LEN: u8 = 4;
const _: () = assert!(UNTAGGED_CUT as usize == ADDRESSES_LEN && TAG_LEN as usize == Tag::LEN);

/// A frame after pass 1.
#[derive(Clone, Copy, Debug)]
pub struct Classified {
    /// Destination.
    pub dst: MacWord,
    /// Source.
    pub src: MacWord,
    /// The VLAN; `None` when the bridge does not filter VLANs, or nothing was classified.
    pub vid: Option<Vid>,
    /// Priority and drop eligibility for a tag on the way out.
    pub tci: Tci,
    /// A stripped tag that is payload here and must go back between addresses and rest.
    pub inner: Option<Tag>,
    /// Where the rest begins: after the addresses, or after the in-band tag that was judged.
    pub cut: u8,
    /// Whether pass 2 takes the source in.
    pub learnable: bool,
    /// What is settled already.
    pub verdict: Option<Verdict>,
}

impl Classified {
    /// Of no frame yet.
    pub(crate) const NEW: Self = Self {
        dst: MacWord::ZERO,
        src: MacWord::ZERO,
        vid: None,
        tci: Tci(0),
        inner: None,
        cut: UNTAGGED_CUT,
        learnable: false,
        verdict: None,
    };

    /// The frame's addresses, and what follows them but for the tag that was judged: what is copied to the
    /// control side. `None` for one that is cut short.
    pub(crate) fn parts<'f>(&self, frame: &Frame<'f>) -> Option<[&'f [u8]; 2]> {
        let addresses = frame.bytes.get(..ADDRESSES_LEN)?;
        Some([addresses, frame.bytes.get(usize::from(self.cut)..)?])
    }

    fn drop(&mut self, reason: DropReason) {
        self.verdict = Some(Verdict::Drop(reason));
    }
}

/// Classifies one frame that came in by `port` of `bridge`.
#[must_use]
pub fn classify(frame: &Frame<'_>, port: &PortView, bridge: &BridgeView) -> Classified {
    let mut class = Classified::NEW;
    classify_into(&mut class, frame, port, bridge);
    class
}

/// As [`classify`], into a place that holds [`Classified::NEW`]: field by field, since a copy of the
/// whole would wait for the fields just written.
#[inline]
pub(crate) fn classify_into(
    class: &mut Classified,
    frame: &Frame<'_>,
    port: &PortView,
    bridge: &BridgeView,
) {
    // Step 1: sanity.
    let Some(view) = EtherView::new(frame.bytes) else {
        return class.drop(DropReason::Runt);
    };
    let (dst, src) = (view.dst().word(), view.src().word());
    class.dst = dst;
    class.src = src;
    if !src.is_valid_source() {
        return class.drop(DropReason::SourceInvalid);
    }
    if (frame.offload.needs_csum() || frame.offload.is_gso())
        && !frame.offload.is_plausible(frame.bytes.len())
    {
        return class.drop(DropReason::BadOffload);
    }
    // Step 3: link-local group addresses never get further by themselves. (Step 2, the tag, is read
    // where it is used: nothing before depends on it.)
    if dst.is_multicast()
        && let Some(last) = link_protocol(dst)
        && let Some(verdict) = reserved(last, frame.stripped.is_some(), port)
    {
        return link_local(class, frame, &view, port, bridge, verdict);
    }
    // Step 4: the port's state. A learning port goes on; pass 3 ends it there.
    match port.state {
        PortState::Disabled | PortState::Blocking => class.drop(DropReason::PortBlocked),
        PortState::Learning | PortState::Forwarding => into_vlan(class, frame, &view, port, bridge),
    }
}

/// Turns a classified frame away that a member of a bond does not let in, before anything is learned from
/// it. What is for the link itself is settled already and stays so. Where each frame counts, `R` says whether
/// this one does.
#[inline]
pub(crate) fn turn_away<R: Recorder>(
    class: &mut Classified,
    frame: &Frame<'_>,
    admits: &Admits,
    bond: &PortView,
    now: Instant,
) {
    let to = Station {
        vid: class.vid.filter(|vid| !bond.untagged.contains(*vid)),
        mac: class.dst,
    };
    let refusal = if !admits.takes(to, class.src) {
        admits.refusal()
    } else if class.verdict.is_none()
        && let Some(once) = admits.counts(to)
    {
        let first = if R::LIVE {
            once.lets_in(frame, class, now)
        } else {
            once.would_let_in(frame, class, now)
        };
        if first {
            return;
        }
        DropReason::BondDuplicate
    } else {
        return;
    };
    class.learnable = false;
    if class.verdict.is_none() {
        class.drop(refusal);
    }
}

/// Ends the way of a frame that is for the monitor of a bond alone; what is broken stays so.
#[cold]
pub(crate) fn end_watched(class: &mut Classified) {
    let blocked = Verdict::Drop(DropReason::PortBlocked);
    if class.verdict.is_none_or(|verdict| verdict == blocked) {
        class.verdict = Some(Verdict::Punt(PuntReason::Probe));
    }
}

/// The X of 01-80-C2-00-00-0X. Cisco's per-VLAN spanning tree is one of them, though its address is an
/// ordinary group.
#[inline]
fn link_protocol(dst: MacWord) -> Option<u8> {
    const PVST: MacWord = MacAddr::PVST.word();
    dst.reserved_group().or_else(|| (dst == PVST).then_some(0))
}

/// Steps 2 and 5: the tag, and the VLAN rules.
#[inline]
fn into_vlan(
    class: &mut Classified,
    frame: &Frame<'_>,
    view: &EtherView<'_>,
    port: &PortView,
    bridge: &BridgeView,
) {
    if !bridge.vlan_filtering {
        // Tags are payload: one that was taken off goes back.
        class.inner = frame.stripped;
        class.learnable = true;
        return;
    }
    let tci = match (frame.stripped, view.tag()) {
        (
            Some(Tag {
                tpid: Tpid::Dot1q,
                tci,
            }),
            _,
        ) => Some(tci),
        (
            None,
            InBandTag::Tag(Tag {
                tpid: Tpid::Dot1q,
                tci,
            }),
        ) => {
            class.cut = UNTAGGED_CUT + TAG_LEN;
            let start = usize::from(frame.offload.csum_start);
            if frame.offload.needs_csum() && start < HEADER_LEN + Tag::LEN {
                // It would point into the header once the tag is taken out.
                return class.drop(DropReason::BadOffload);
            }
            Some(tci)
        }
        (None, InBandTag::Truncated) => return class.drop(DropReason::TagTruncated),
        // A service tag is payload to a customer bridge.
        (stripped, _) => {
            class.inner = stripped;
            None
        }
    };
    match admit(tci, port) {
        Ok(vid) => {
            class.vid = Some(vid);
            class.tci = tci.unwrap_or_default().with_vid(vid);
            class.learnable = true;
        }
        Err(reason) => class.drop(reason),
    }
}

/// The VLAN of a frame with that tag on that port, or why it may not enter.
#[inline]
fn admit(tci: Option<Tci>, port: &PortView) -> Result<Vid, DropReason> {
    let bits = tci.map_or(0, Tci::vid_bits);
    let refused = match port.accept {
        AcceptFrames::All => false,
        AcceptFrames::Untagged => bits != 0,
        AcceptFrames::Tagged => bits == 0,
    };
    if refused {
        return Err(DropReason::FrameTypeRefused);
    }
    if bits == 0 {
        return port.pvid.ok_or(DropReason::NoPvid);
    }
    let vid = Vid::new(bits).map_err(|_| DropReason::VlanReserved)?;
    if port.vlans.contains(vid) {
        Ok(vid)
    } else {
        Err(DropReason::VlanNotAllowed)
    }
}

/// What becomes of a frame to 01-80-C2-00-00-0X; `None`: it passes like any multicast.
/// Link protocols are never tagged, so the control side gets no frame that carried a tag.
fn reserved(last: u8, tagged: bool, port: &PortView) -> Option<Verdict> {
    let masked = port.group_fwd_mask & 1 << last != 0;
    match last {
        1 => Some(Verdict::Drop(DropReason::MacControl)),
        0 => match port.bpdu {
            BpduPolicy::Forward => None,
            BpduPolicy::Contain => Some(Verdict::Drop(DropReason::BpduContained)),
            BpduPolicy::Listen if tagged => Some(Verdict::Drop(DropReason::BpduContained)),
            BpduPolicy::Listen => Some(Verdict::Punt(PuntReason::Bpdu)),
            BpduPolicy::Guard => Some(Verdict::Punt(PuntReason::BpduGuard)),
        },
        _ if masked => None,
        // What the node itself says to its neighbours (LLDP, 802.1X) it says as the bridge: Linux too
        // sends it by all ports. Not slow protocols, which belong to whoever runs that one link.
        3.. if port.flags.host => None,
        2 if port.flags.listens && !tagged => Some(Verdict::Punt(PuntReason::SlowProtocol)),
        _ => Some(Verdict::Drop(DropReason::ReservedAddress)),
    }
}

/// A link-local frame goes no further, but teaches its source where the port learns and the VLAN
/// rules admit it (Linux without `no_linklocal_learn`). MAC control teaches nothing.
#[cold]
fn link_local(
    class: &mut Classified,
    frame: &Frame<'_>,
    view: &EtherView<'_>,
    port: &PortView,
    bridge: &BridgeView,
    verdict: Verdict,
) {
    let teaches = verdict != Verdict::Drop(DropReason::MacControl)
        && matches!(port.state, PortState::Learning | PortState::Forwarding);
    if teaches {
        let untouched = *class;
        into_vlan(class, frame, view, port, bridge);
        if class.verdict.is_some() {
            *class = untouched;
        }
    }
    class.verdict = Some(verdict);
}

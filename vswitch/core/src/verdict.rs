//! What becomes of a frame: forwarded, flooded, punted or dropped for a named reason.
//!
//! The set of reasons is closed. Each has a stable name (the CLI, metrics and goldens print it), a
//! meaning an operator can act on, and a counter per port. For every port
//! `frames in = forwarded + Σ ingress drops + Σ punts`, and every copy made for a port is either sent
//! by it or counted under one of its egress reasons (N-17).

use vswitch_base::{MacWord, PortIndex};

macro_rules! closed_set {
    (
        $(#[$meta:meta])* $name:ident {
            $($(#[$doc:meta])* $variant:ident = ($text:literal, $means:literal),)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every member of the set, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The stable name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// What it means and what to look at, one line.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $means,)+ }
            }

            /// Its number, for counter arrays.
            #[inline]
            #[must_use]
            pub const fn index(self) -> usize {
                self as usize
            }
        }
    };
}

closed_set! {
    /// Why a frame, or a copy of it, was not sent on. Up to [`DropReason::NoEgress`] the reasons
    /// are counted at the port a frame came in by, those after it at the port it should have left by.
    DropReason {
        /// Fewer than 14 bytes.
        Runt = ("runt", "shorter than an Ethernet header"),
        /// The kernel dropped it before we saw it.
        RxRingFull = ("rx-ring-full", "the receive ring was full: the worker was too slow, or waited for a core"),
        /// The receive slot was too small for the frame.
        RxTruncated = ("rx-truncated", "longer than the receive slot of the port; was the MTU raised underneath?"),
        /// The sender's offload header contradicts the frame.
        BadOffload = ("bad-offload", "the sender's checksum or segmentation request does not fit the frame"),
        /// Source address zero or a group.
        SourceInvalid = ("source-invalid", "source address is zero or a group address"),
        /// The frame ends inside a VLAN tag.
        TagTruncated = ("tag-truncated", "the frame ends inside its VLAN tag"),
        /// The port belongs to no bridge.
        NoBridge = ("no-bridge", "the port belongs to no bridge"),
        /// Disabled, blocking or listening.
        PortBlocked = ("port-blocked", "the port's state is disabled or blocking"),
        /// Learning: the address was taken in, the frame goes no further.
        PortLearning = ("port-learning", "the port's state is learning: it does not forward yet"),
        /// PAUSE or PFC.
        MacControl = ("mac-control", "PAUSE or PFC frames end at the link"),
        /// A spanning tree frame from a port where they are contained (T-05).
        BpduContained = ("bpdu-contained", "spanning tree frame from a port with bpdu = drop; a guest seems to bridge"),
        /// Another of 01-80-C2-00-00-0X without a mask bit that lets it pass.
        ReservedAddress = ("reserved-address", "link-local group address (LACP, LLDP, 802.1X ..): set group_fwd_mask to let it pass"),
        /// VLAN 4095.
        VlanReserved = ("vlan-reserved", "tagged with VLAN 4095, which 802.1Q reserves"),
        /// From a member of a bond that lets nothing of the kind in.
        BondInactive = ("bond-inactive", "the bond's member is on standby or does not collect: see vswctl show"),
        /// From a member of a bond that leaves such frames to another.
        BondShare = ("bond-share", "another member of the bond has this frame: the switch beyond floods to all of them"),
        /// From a member of a bond, after another one's copy.
        BondDuplicate = ("bond-duplicate", "another member of the bond brought this frame already"),
        /// From a bond, and the source is behind another port.
        BondReflected = ("bond-reflected", "its source is behind another port: a frame of ours that came back by the bond, or a loop"),
        /// `accept_frames` excludes it.
        FrameTypeRefused = ("frame-type-refused", "tagged or untagged frames are not accepted here: see accept_frames of the port"),
        /// Untagged on a port without PVID.
        NoPvid = ("no-pvid", "untagged or priority-tagged, and the port has no PVID"),
        /// Tagged with a VLAN that the port is not in.
        VlanNotAllowed = ("vlan-not-allowed", "tag is not in the port's VLAN set: vswctl vlan add VID dev PORT"),
        /// Its station has not spoken yet.
        Held = ("held", "the port is held until its guest speaks: see hold_until_guest of the port"),
        /// The source is not the station's that is behind the port.
        MacSpoof = ("mac-spoof", "source is none of the port's own addresses: see mac and guard_macs of the port"),
        /// ARP or RARP of another than the station.
        ArpSpoof = ("arp-spoof", "ARP or RARP from an address that is not the port's: see guard_macs and guard_ips of the port"),
        /// Neighbour discovery of another than the station.
        NdSpoof = ("nd-spoof", "IPv6 neighbour discovery for an address that is not the port's: see guard_macs and guard_ips of the port"),
        /// An IP source of another than the station, or a packet that cannot be read.
        IpSpoof = ("ip-spoof", "IP source is none of the port's guard_ips, or the packet cannot be read that far"),
        /// What only DHCP servers send.
        DhcpServer = ("dhcp-server", "sent to a DHCP client's port, as servers do, from a port with guard = true"),
        /// What only routers send.
        RaGuard = ("ra-guard", "IPv6 router advertisement or redirect from a port with guard = true"),
        /// More than the rate of the port that it came in by.
        PolicedIn = ("policed-in", "more than the port may send: see ingress_rate and ingress_burst of the port"),
        /// More addresses than `mac_limit`.
        MacLimit = ("mac-limit", "new source address beyond the port's mac_limit"),
        /// The destination is behind the port it came from.
        SamePort = ("same-port", "destination is behind the port the frame came in by; hairpin is off"),
        /// Both ports isolated.
        Isolated = ("isolated", "both ports are isolated from each other"),
        /// The destination's port is not in the VLAN.
        EgressVlan = ("egress-vlan", "the destination's port is not in the frame's VLAN"),
        /// The destination's port does not forward.
        EgressBlocked = ("egress-blocked", "the destination's port is not forwarding or has left"),
        /// The punt queue to the control side was full.
        PuntQueueFull = ("punt-queue-full", "too many frames for the control side at once"),
        /// Nobody to flood to.
        NoEgress = ("no-egress", "no other port takes this VLAN and class of traffic"),
        /// Larger than the MTU of the port it should leave by.
        TxOversize = ("tx-oversize", "larger than the MTU of the port it should leave by"),
        /// More than the rate of the port that it should leave by.
        PolicedOut = ("policed-out", "more than the port may receive: see egress_rate and egress_burst of the port"),
        /// The device took no more.
        TxFull = ("tx-full", "the device's queue was full: its reader is too slow"),
        /// The device refused the frame.
        TxError = ("tx-error", "the device refused the frame: see the port's last error"),
        /// The port is down or gone.
        TxDown = ("tx-down", "the port has no open device"),
        /// A segmentation request that could not be carried out.
        TxOffload = ("tx-offload", "the frame could not be cut into segments or completed for this port"),
    }
}

impl DropReason {
    /// Whether the reason is counted at the port that should have sent the copy.
    #[must_use]
    pub const fn is_egress(self) -> bool {
        self.index() > Self::NoEgress.index()
    }
}

closed_set! {
    /// Why a frame was handed to the control side.
    PuntReason {
        /// Slow protocols (LACP, Marker, OAM) on an uplink.
        SlowProtocol = ("slow-protocol", "LACP, Marker or OAM from the link partner"),
        /// Spanning tree on a port that listens.
        Bpdu = ("bpdu", "spanning tree frame on a listening port"),
        /// Spanning tree on a guarded port: the control side disables the port.
        BpduGuard = ("bpdu-guard", "spanning tree frame on a port with bpdu = guard"),
        /// A copy of a report of group membership.
        Groups = ("groups", "IGMP or MLD report of a station on a bridge with a bond"),
        /// A copy of what a station says of its IP addresses.
        Neighbours = ("neighbours", "ARP or neighbour discovery of a station on a bridge with a bond"),
        /// For the monitor of a bond, and for nobody else.
        Probe = ("probe", "answer to a probe of the bond's arp_ip_target or ns_ip6_target"),
    }
}

/// Kinds of flooded traffic, each with a switch of its own per port (B-08).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum FloodClass {
    /// Unicast to an address that is not in the FDB.
    UnknownUnicast = 1,
    /// Group addresses but broadcast.
    Multicast = 2,
    /// ff:ff:ff:ff:ff:ff.
    Broadcast = 4,
}

impl FloodClass {
    /// The class of a destination that was not found.
    #[inline]
    #[must_use]
    pub const fn of(dst: MacWord) -> Self {
        if dst.is_broadcast() {
            Self::Broadcast
        } else if dst.is_multicast() {
            Self::Multicast
        } else {
            Self::UnknownUnicast
        }
    }

    /// As a bit of a set of classes.
    #[inline]
    #[must_use]
    pub const fn bit(self) -> u8 {
        self as u8
    }
}

/// Where a copy goes and whether it carries the VLAN's tag there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Egress {
    /// The logical port: a port, or a bond that has yet to pick a member.
    pub port: PortIndex,
    /// Tagged, or as the bytes came when the bridge does not filter VLANs.
    pub tagged: bool,
}

/// The outcome of passes 1 to 3 for one frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// To the one port behind which the destination is.
    Forward(Egress),
    /// To every port of the VLAN that takes the class.
    Flood(FloodClass),
    /// To the control side.
    Punt(PuntReason),
    /// Nowhere.
    Drop(DropReason),
}

//! Packets with real headers, and the offload requests that a guest's stack makes with them.

use vswitch_base::{EtherType, MacAddr, Tag};
use vswitch_core::frame::VnetHdr;
use vswitch_core::testing::{MemFrame, frame};

/// Bytes of an IPv4 header without options.
const IPV4: usize = 20;
/// Bytes of a TCP header without options.
const TCP: usize = 20;

/// A TCP segment over IPv4 with `payload` bytes of data and a partial checksum: what a stack hands to
/// a device that finishes it. With `mss`, to be cut into segments of that many bytes.
///
/// # Panics
/// When the packet would be longer than IPv4 allows.
#[must_use]
pub fn tcp4(
    dst: MacAddr,
    src: MacAddr,
    tags: &[Tag],
    payload: usize,
    mss: Option<u16>,
) -> MemFrame {
    let l3 = 14 + tags.len() * Tag::LEN;
    let total = IPV4 + TCP + payload;
    let mut bytes = frame(dst, src, tags, EtherType::IPV4, l3 + total);
    let total = u16::try_from(total).expect("an IPv4 packet").to_be_bytes();
    let ip = [
        0x45, 0, total[0], total[1], 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ];
    bytes[l3..l3 + IPV4].copy_from_slice(&ip);
    let sum = checksum(&bytes[l3..l3 + IPV4], 0).to_be_bytes();
    bytes[l3 + 10..l3 + 12].copy_from_slice(&sum);
    let l4 = l3 + IPV4;
    let tcp = [
        0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 1, 0, 0, 0, 0, 0,
    ];
    bytes[l4..l4 + TCP].copy_from_slice(&tcp);
    for (i, byte) in bytes[l4 + TCP..].iter_mut().enumerate() {
        *byte = i.to_le_bytes()[0];
    }
    let pseudo = !pseudo4(&bytes[l3..], TCP + payload);
    bytes[l4 + 16..l4 + 18].copy_from_slice(&pseudo.to_be_bytes());
    let short = |n: usize| u16::try_from(n).expect("headers are short");
    MemFrame {
        bytes,
        stripped: None,
        offload: VnetHdr {
            flags: VnetHdr::NEEDS_CSUM,
            gso_type: if mss.is_some() {
                VnetHdr::GSO_TCPV4
            } else {
                VnetHdr::GSO_NONE
            },
            hdr_len: short(l4 + TCP),
            gso_size: mss.unwrap_or(0),
            csum_start: short(l4),
            csum_offset: 16,
        },
    }
}

/// Whether an untagged IPv4/TCP frame carries the checksums its bytes should have.
#[must_use]
pub fn tcp4_checksums_hold(bytes: &[u8]) -> bool {
    let Some(ip) = bytes.get(14..) else {
        return false;
    };
    if ip.len() < IPV4 + TCP {
        return false;
    }
    let len = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    let Some(ip) = ip.get(..len) else {
        return false;
    };
    let pseudo = u64::from(!pseudo4(ip, len - IPV4));
    checksum(&ip[..IPV4], 0) == 0 && checksum(&ip[IPV4..], pseudo) == 0
}

/// The complemented sum of the pseudo-header of the IPv4 packet `ip` with `len` bytes of TCP.
fn pseudo4(ip: &[u8], len: usize) -> u16 {
    checksum(&ip[12..20], 6 + len as u64)
}

/// The Internet checksum (RFC 1071) of `bytes` on top of `start`.
#[must_use]
pub fn checksum(bytes: &[u8], start: u64) -> u16 {
    let mut sum = bytes.chunks(2).fold(start, |sum, pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        sum + u64::from(u16::from_be_bytes([pair[0], low]))
    });
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

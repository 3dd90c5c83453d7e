//! The frames of a measurement: addresses that say whose they are, and a UDP datagram over IPv4 between
//! addresses kept for benchmarks (RFC 2544), which are no host's. IPv4, so that a kernel bridge does with
//! them what it does with the frames that matter (bridge-nf-call-iptables).
//!
//! An address is `02:HH:II:II:II:II`: HH the number of the host, I an index. A receiver so knows a frame
//! that was flooded to it from its first two bytes.

use clap::Args;

/// Bytes of the two addresses.
const ADDRESSES: u16 = 12;

/// The headers of a UDP datagram over IPv4 of `len` bytes in all, without a UDP checksum.
fn datagram(len: u16) -> Vec<u8> {
    let mut ip = [
        0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 198, 18, 0, 1, 198, 19, 0, 1,
    ];
    ip[2..4].copy_from_slice(&len.to_be_bytes());
    let sum: u32 = ip
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let folded = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap_or(u16::MAX);
    ip[10..12].copy_from_slice(&(!folded).to_be_bytes());
    let [hi, lo] = (len - 20).to_be_bytes();
    [&ip[..], &[0, 9, 0, 9, hi, lo, 0, 0]].concat()
}

/// What the frames look like.
#[derive(Clone, Debug, Args)]
pub(crate) struct Shape {
    /// Bytes of a frame without its check sequence: 60 is the least, 1514 the most of MTU 1500.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(46..=9018))]
    size: u16,
    /// Number of the sending host, in its addresses.
    #[arg(long, value_name = "HOST")]
    from: u8,
    /// Number of the receiving host; without it the frames are broadcast.
    #[arg(long, value_name = "HOST")]
    to: Option<u8>,
    /// Source addresses, taken in turn.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    sources: u32,
    /// Destination addresses, taken in turn.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    destinations: u32,
    /// VLAN tag, within the size.
    #[arg(long, value_name = "VID", value_parser = clap::value_parser!(u16).range(1..=4094))]
    vlan: Option<u16>,
}

/// The frames of one batch, whose addresses move on.
pub(crate) struct Frames {
    shape: Shape,
    bytes: Vec<Vec<u8>>,
    sent: u64,
}

impl Frames {
    /// Room for `count` frames.
    pub(crate) fn new(shape: &Shape, count: usize) -> Self {
        let mut frame = vec![0; usize::from(shape.size)];
        let tag = shape
            .vlan
            .map(|vid| [[0x81, 0], vid.to_be_bytes()].concat());
        let tag = tag.unwrap_or_default();
        let ip_bytes = shape.size - ADDRESSES - 2 - u16::from(shape.vlan.is_some()) * 4;
        let rest = [tag, crate::IPV4.to_be_bytes().to_vec(), datagram(ip_bytes)].concat();
        frame[usize::from(ADDRESSES)..][..rest.len()].copy_from_slice(&rest);
        let mut frames = Self {
            shape: shape.clone(),
            bytes: vec![frame; count],
            sent: 0,
        };
        frames.move_on();
        frames
    }

    /// The batch as it is now.
    pub(crate) fn batch(&self) -> &[Vec<u8>] {
        &self.bytes
    }

    /// Whether every frame is the same.
    pub(crate) const fn is_one_flow(&self) -> bool {
        self.shape.sources == 1 && self.shape.destinations == 1
    }

    /// Gives the batch the addresses that come next.
    pub(crate) fn move_on(&mut self) {
        for frame in &mut self.bytes {
            let (to, from) = frame[..12].split_at_mut(6);
            match self.shape.to {
                Some(host) => {
                    to.copy_from_slice(&address(host, self.sent, self.shape.destinations));
                }
                None => to.fill(0xff),
            }
            from.copy_from_slice(&address(self.shape.from, self.sent, self.shape.sources));
            self.sent += 1;
        }
    }
}

/// The two bytes that begin all addresses of a host.
pub(crate) const fn beginning(host: u8) -> [u8; 2] {
    [2, host]
}

fn address(host: u8, number: u64, of: u32) -> [u8; 6] {
    let [start, host] = beginning(host);
    let index = u32::try_from(number % u64::from(of)).expect("less than a u32");
    let [a, b, c, d] = index.to_be_bytes();
    [start, host, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape {
            size: 60,
            from: 10,
            to: Some(11),
            sources: 2,
            destinations: 3,
            vlan: None,
        }
    }

    #[test]
    fn addresses_take_turns_over_batches() {
        let mut frames = Frames::new(&shape(), 2);
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.extend(frames.batch().iter().map(|frame| (frame[5], frame[11])));
            frames.move_on();
        }
        assert_eq!(seen, [(0, 0), (1, 1), (2, 0), (0, 1), (1, 0), (2, 1)]);
        assert_eq!(frames.batch()[0][..2], beginning(11));
        assert_eq!(frames.batch()[0][6..8], beginning(10));
    }

    #[test]
    fn the_tag_is_within_the_size() {
        let tagged = Shape {
            vlan: Some(0x123),
            to: None,
            ..shape()
        };
        let frames = Frames::new(&tagged, 1);
        assert_eq!(frames.batch()[0].len(), 60);
        assert_eq!(frames.batch()[0][..6], [0xff; 6]);
        assert_eq!(frames.batch()[0][12..18], [0x81, 0, 0x01, 0x23, 0x08, 0x00]);
    }

    #[test]
    fn the_datagram_is_whole_and_its_header_sums_up() {
        for (size, vlan) in [(60, None), (1514, None), (64, Some(7))] {
            let shape = Shape {
                size,
                vlan,
                ..shape()
            };
            let frames = Frames::new(&shape, 1);
            let ip = &frames.batch()[0][if vlan.is_some() { 18 } else { 14 }..];
            let words = ip[..20].chunks_exact(2);
            let sum: u32 = words.map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
            assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
            let length = |at: usize| usize::from(ip[at]) << 8 | usize::from(ip[at + 1]);
            assert_eq!((length(2), length(24)), (ip.len(), ip.len() - 20));
        }
    }
}

//! The frames of a measurement: addresses that say whose they are, a marker EtherType, zeroes.
//!
//! An address is `02:HH:II:II:II:II`: HH the number of the host, I an index. A receiver so knows a frame
//! that was flooded to it from its first two bytes.

use clap::Args;
use std::io;

/// Bytes of an untagged Ethernet header.
const HEADER: usize = 14;

/// What the frames look like.
#[derive(Clone, Debug, Args)]
pub(crate) struct Shape {
    /// Bytes of a frame without its check sequence: 60 is the least, 1514 the most of MTU 1500.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(22..=9018))]
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
    pub(crate) fn new(shape: &Shape, count: usize) -> io::Result<Self> {
        let mut frame = vec![0; usize::from(shape.size)];
        let tag = shape
            .vlan
            .map(|vid| [[0x81, 0], vid.to_be_bytes()].concat());
        let types = [
            tag.unwrap_or_default(),
            crate::MARKER.to_be_bytes().to_vec(),
        ]
        .concat();
        let room = frame
            .get_mut(HEADER - 2..HEADER - 2 + types.len())
            .ok_or_else(|| io::Error::other("the frame is too short for its tag"))?;
        room.copy_from_slice(&types);
        let mut frames = Self {
            shape: shape.clone(),
            bytes: vec![frame; count],
            sent: 0,
        };
        frames.move_on();
        Ok(frames)
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
        let mut frames = Frames::new(&shape(), 2).unwrap();
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
        let frames = Frames::new(&tagged, 1).unwrap();
        assert_eq!(frames.batch()[0].len(), 60);
        assert_eq!(frames.batch()[0][..6], [0xff; 6]);
        assert_eq!(frames.batch()[0][12..18], [0x81, 0, 0x01, 0x23, 0x88, 0xb5]);
    }
}

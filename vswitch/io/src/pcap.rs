//! Writes pcapng: frames with the port they were seen on, the direction, and a comment for the verdict.
//!
//! The blocks are those of the pcapng draft (Section Header, Interface Description, Enhanced Packet) in
//! native byte order, which readers tell from the magic number; times are nanoseconds since 1970.
//! Writes to any [`Write`], one call a block: wrap a file in a buffer. Read by tcpdump and tshark.
//! Not for workers: writing can wait.

use std::io::{self, Write};
use vswitch_core::frame::Frame;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const LINKTYPE_ETHERNET: u16 = 1;

const OPTION_END: u16 = 0;
const OPTION_COMMENT: u16 = 1;
const OPTION_APPLICATION: u16 = 4;
const OPTION_NAME: u16 = 2;
const OPTION_FLAGS: u16 = 2;
const OPTION_RESOLUTION: u16 = 9;
/// 10⁻⁹ seconds.
const NANOSECONDS: u8 = 9;
/// Longest text of an option; longer ones are cut at a character.
const TEXT_MAX: usize = 1024;

/// Where a frame was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Received from the port.
    In,
    /// Sent to the port.
    Out,
}

/// A port in the file, made by [`PcapWriter::add_interface`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interface(u32);

/// What goes with a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen<'a> {
    /// Nanoseconds since 1970.
    pub at_ns: u64,
    /// From or to the port.
    pub direction: Direction,
    /// For the reader: the verdict, the reason of a drop.
    pub comment: Option<&'a str>,
}

/// Writes one pcapng section.
#[derive(Debug)]
pub struct PcapWriter<W> {
    out: W,
    interfaces: u32,
    snap_len: u32,
    block: Vec<u8>,
}

impl<W: Write> PcapWriter<W> {
    /// Begins the section. Frames are cut to `snap_len` bytes, 0 for whole frames.
    ///
    /// # Errors
    /// What the writer says.
    pub fn new(out: W, snap_len: u32) -> io::Result<Self> {
        let mut this = Self {
            out,
            interfaces: 0,
            snap_len,
            block: Vec::new(),
        };
        this.begin(SECTION_HEADER);
        this.u32(BYTE_ORDER_MAGIC);
        this.u16(1);
        this.u16(0);
        this.block.extend_from_slice(&u64::MAX.to_ne_bytes()); // length of the section: unknown
        this.option(
            OPTION_APPLICATION,
            concat!("vswitch ", env!("CARGO_PKG_VERSION")).as_bytes(),
        );
        this.finish()?;
        Ok(this)
    }

    /// Adds a port by its name; frames refer to it.
    ///
    /// # Errors
    /// What the writer says.
    pub fn add_interface(&mut self, name: &str) -> io::Result<Interface> {
        self.begin(INTERFACE_DESCRIPTION);
        self.u16(LINKTYPE_ETHERNET);
        self.u16(0);
        self.u32(self.snap_len);
        self.option(OPTION_NAME, text(name));
        self.option(OPTION_RESOLUTION, &[NANOSECONDS]);
        self.finish()?;
        self.interfaces += 1;
        Ok(Interface(self.interfaces - 1))
    }

    /// Writes a frame given in parts, such as a rewritten header and the rest.
    ///
    /// # Errors
    /// What the writer says.
    pub fn parts(&mut self, on: Interface, seen: &Seen<'_>, parts: &[&[u8]]) -> io::Result<()> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let limit = if self.snap_len == 0 {
            len
        } else {
            len.min(self.snap_len as usize)
        };
        let [b0, b1, b2, b3, b4, b5, b6, b7] = seen.at_ns.to_be_bytes();
        self.begin(ENHANCED_PACKET);
        self.u32(on.0);
        self.u32(u32::from_be_bytes([b0, b1, b2, b3]));
        self.u32(u32::from_be_bytes([b4, b5, b6, b7]));
        self.u32(u32::try_from(limit).unwrap_or(u32::MAX));
        self.u32(u32::try_from(len).unwrap_or(u32::MAX));
        let mut left = limit;
        for part in parts {
            let taken = part.len().min(left);
            self.block.extend_from_slice(&part[..taken]);
            left -= taken;
        }
        self.pad();
        let direction: u32 = match seen.direction {
            Direction::In => 1,
            Direction::Out => 2,
        };
        self.option(OPTION_FLAGS, &direction.to_ne_bytes());
        if let Some(comment) = seen.comment {
            self.option(OPTION_COMMENT, text(comment));
        }
        self.finish()
    }

    /// Writes a received frame; a tag that the kernel took off is put back in its place.
    ///
    /// # Errors
    /// What the writer says.
    pub fn received(
        &mut self,
        on: Interface,
        seen: &Seen<'_>,
        frame: &Frame<'_>,
    ) -> io::Result<()> {
        let Some(tag) = frame.stripped else {
            return self.parts(on, seen, &[frame.bytes]);
        };
        let [t0, t1] = tag.tpid.ether_type().to_be_bytes();
        let [c0, c1] = tag.tci.0.to_be_bytes();
        let (addresses, rest) = frame.bytes.split_at(frame.bytes.len().min(12));
        self.parts(on, seen, &[addresses, &[t0, t1, c0, c1], rest])
    }

    /// Writes out what the writer holds back.
    ///
    /// # Errors
    /// What the writer says.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The writer, for its owner to go on with.
    #[must_use]
    pub fn into_inner(self) -> W {
        self.out
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.u32(kind);
        self.u32(0);
    }

    /// Ends the options, writes the length at both ends, and the block out.
    fn finish(&mut self) -> io::Result<()> {
        self.u16(OPTION_END);
        self.u16(0);
        let len = u32::try_from(self.block.len() + 4)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.block[4..8].copy_from_slice(&len.to_ne_bytes());
        self.u32(len);
        self.out.write_all(&self.block)
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        self.u16(code);
        self.u16(u16::try_from(value.len()).expect("options are cut to TEXT_MAX"));
        self.block.extend_from_slice(value);
        self.pad();
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    fn u16(&mut self, value: u16) {
        self.block.extend_from_slice(&value.to_ne_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.block.extend_from_slice(&value.to_ne_bytes());
    }
}

/// As much of a text as an option takes.
fn text(value: &str) -> &[u8] {
    let mut len = value.len().min(TEXT_MAX);
    while !value.is_char_boundary(len) {
        len -= 1;
    }
    &value.as_bytes()[..len]
}

#[cfg(test)]
mod tests;

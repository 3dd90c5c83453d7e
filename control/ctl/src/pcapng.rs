//! Capture files: pcapng as tcpdump and Wireshark read it.
//!
//! One section; one interface a port, described when its first frame comes; packets with
//! nanoseconds, their direction and, for dropped frames, the reason as a comment. Little
//! endian. A frame is written at once, so a file that is cut off by Ctrl-C is whole up to its
//! last frame. Format: draft-ietf-opsawg-pcapng. Pure but for writing to the given writer.

use std::io::{self, Write};

use vswitch_api::types::FrameDirection;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const LINKTYPE_ETHERNET: u16 = 1;
/// The most bytes of one option: its length is a 16-bit number.
const OPTION_MAX: usize = 65_535;

/// One frame for the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) port: &'a str,
    /// Nanoseconds since 1970.
    pub(crate) time_ns: u64,
    pub(crate) direction: FrameDirection,
    /// Bytes of the frame before it was cut.
    pub(crate) length: u32,
    pub(crate) bytes: &'a [u8],
    pub(crate) comment: Option<&'a str>,
}

/// Writes blocks.
pub(crate) struct Writer<W: Write> {
    out: W,
    /// Ports by the number of their interface.
    ports: Vec<String>,
    snaplen: u32,
}

impl<W: Write> Writer<W> {
    /// Begins the file. `snaplen`: the most bytes of a frame.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub(crate) fn new(mut out: W, snaplen: u32) -> io::Result<Self> {
        let mut body = Vec::new();
        body.extend_from_slice(&BYTE_ORDER.to_le_bytes());
        body.extend_from_slice(&1_u16.to_le_bytes());
        body.extend_from_slice(&0_u16.to_le_bytes());
        body.extend_from_slice(&u64::MAX.to_le_bytes()); // The length of the section is not known.
        push_option(
            &mut body,
            4,
            concat!("vswctl ", env!("CARGO_PKG_VERSION")).as_bytes(),
        );
        end_options(&mut body);
        out.write_all(&block(SECTION_HEADER, &body))?;
        out.flush()?;
        Ok(Self {
            out,
            ports: Vec::new(),
            snaplen,
        })
    }

    /// Appends one frame, with its port's interface before it if it is the first of it.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub(crate) fn write(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let interface = match self.ports.iter().position(|port| port == packet.port) {
            Some(index) => index,
            None => self.add_port(packet.port)?,
        };
        let mut body = Vec::with_capacity(packet.bytes.len() + 64);
        body.extend_from_slice(&u32::try_from(interface).unwrap_or(u32::MAX).to_le_bytes());
        let [a, b, c, d, high @ ..] = packet.time_ns.to_le_bytes();
        body.extend_from_slice(&high);
        body.extend_from_slice(&[a, b, c, d]);
        body.extend_from_slice(
            &u32::try_from(packet.bytes.len())
                .unwrap_or(u32::MAX)
                .to_le_bytes(),
        );
        body.extend_from_slice(&packet.length.to_le_bytes());
        body.extend_from_slice(packet.bytes);
        pad(&mut body);
        if let Some(comment) = packet.comment {
            push_option(&mut body, 1, comment.as_bytes());
        }
        // Seen from the interface: what came into the switch was received by it.
        let flags: u32 = if packet.direction == FrameDirection::In {
            1
        } else {
            2
        };
        push_option(&mut body, 2, &flags.to_le_bytes());
        end_options(&mut body);
        self.out.write_all(&block(ENHANCED_PACKET, &body))
    }

    /// Hands what was written to the reader.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The writer below.
    pub(crate) const fn inner(&mut self) -> &mut W {
        &mut self.out
    }

    fn add_port(&mut self, port: &str) -> io::Result<usize> {
        let mut body = Vec::new();
        body.extend_from_slice(&LINKTYPE_ETHERNET.to_le_bytes());
        body.extend_from_slice(&0_u16.to_le_bytes());
        body.extend_from_slice(&self.snaplen.to_le_bytes());
        push_option(&mut body, 2, port.as_bytes());
        push_option(&mut body, 9, &[9]); // Times in 10^-9 s.
        end_options(&mut body);
        self.out.write_all(&block(INTERFACE, &body))?;
        self.ports.push(port.to_owned());
        Ok(self.ports.len() - 1)
    }
}

/// A block with its length in front and behind.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 12)
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    [&kind.to_le_bytes()[..], &length, body, &length].concat()
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

fn push_option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(OPTION_MAX)];
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    body.extend_from_slice(value);
    pad(body);
}

fn end_options(body: &mut Vec<u8>) {
    body.extend_from_slice(&[0; 4]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of two ports with three frames, one with a comment.
    fn sample() -> Vec<u8> {
        let frame =
            crate::frame_text::parse("vlan 100 arp who-has 10.0.0.1 tell 10.0.0.2").unwrap();
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file, 65_535).unwrap();
        let packet = Packet {
            port: "vm1",
            time_ns: 1_795_442_531_000_250_001,
            direction: FrameDirection::In,
            length: u32::try_from(frame.len()).unwrap(),
            bytes: &frame,
            comment: Some("drop: vlan-not-allowed"),
        };
        writer.write(&packet).unwrap();
        writer
            .write(&Packet {
                port: "eth1",
                direction: FrameDirection::Out,
                comment: None,
                ..packet
            })
            .unwrap();
        writer
            .write(&Packet {
                bytes: &frame[..20],
                comment: None,
                ..packet
            })
            .unwrap();
        writer.flush().unwrap();
        file
    }

    #[test]
    fn blocks_follow_each_other_to_the_end() {
        let file = sample();
        let mut kinds = Vec::new();
        let mut rest = file.as_slice();
        while let Some((head, _)) = rest.split_first_chunk::<8>() {
            let kind = u32::from_le_bytes(head[..4].try_into().unwrap());
            let length = u32::from_le_bytes(head[4..].try_into().unwrap()) as usize;
            assert_eq!(length % 4, 0);
            assert_eq!(
                &rest[length - 4..length],
                &head[4..],
                "the length stands at both ends"
            );
            kinds.push(kind);
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        assert_eq!(
            kinds,
            [
                SECTION_HEADER,
                INTERFACE,
                ENHANCED_PACKET,
                INTERFACE,
                ENHANCED_PACKET,
                ENHANCED_PACKET
            ]
        );
    }

    /// Runs where the tools are installed, as they are in CI; the blocks are checked anyway.
    #[test]
    fn tcpdump_and_tshark_read_the_file() {
        let path = std::env::temp_dir().join(format!("vswctl-{}.pcapng", std::process::id()));
        std::fs::write(&path, sample()).unwrap();
        let run = |tool: &str, words: &[&str]| {
            let done = std::process::Command::new(tool)
                .args(words)
                .arg(&path)
                .output()
                .ok()?;
            assert!(
                done.status.success(),
                "{tool}: {}",
                String::from_utf8_lossy(&done.stderr)
            );
            Some(String::from_utf8_lossy(&done.stdout).into_owned())
        };
        let tcpdump = run("tcpdump", &["-enr"]);
        let fields = [
            "-T",
            "fields",
            "-e",
            "frame.interface_name",
            "-e",
            "frame.comment",
            "-e",
            "frame.packet_flags_direction",
            "-e",
            "vlan.id",
            "-r",
        ];
        let tshark = run("tshark", &fields);
        std::fs::remove_file(&path).unwrap();
        if let Some(text) = tcpdump {
            assert_eq!(text.matches("vlan 100").count(), 3, "{text}");
            assert_eq!(
                text.matches("who-has 10.0.0.1 tell 10.0.0.2").count(),
                2,
                "{text}"
            );
        }
        if let Some(text) = tshark {
            let lines: Vec<Vec<&str>> = text
                .lines()
                .map(|line| line.split('\t').collect())
                .collect();
            assert_eq!(lines.len(), 3, "{text}");
            assert_eq!(
                (lines[0][0], lines[0][1], lines[0][3]),
                ("vm1", "drop: vlan-not-allowed", "100")
            );
            assert_eq!((lines[1][0], lines[1][1]), ("eth1", ""));
            assert_ne!(lines[0][2], lines[1][2], "in and out are told apart");
        }
    }
}

//! The file format, by its bytes.

use super::*;
use vswitch_base::{Tag, Tci, Tpid};

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes
        .chunks_exact(4)
        .map(|c| u32::from_ne_bytes([c[0], c[1], c[2], c[3]]))
        .collect()
}

/// The blocks of a file as type and body; checks both lengths of each.
fn blocks(mut bytes: &[u8]) -> Vec<(u32, &[u8])> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let head = words(&bytes[..8]);
        let len = head[1] as usize;
        assert_eq!(len % 4, 0);
        assert_eq!(words(&bytes[len - 4..len]), [head[1]]);
        found.push((head[0], &bytes[8..len - 4]));
        bytes = &bytes[len..];
    }
    found
}

#[test]
fn a_file_has_its_section_ports_and_frames_with_direction_and_comment() {
    let mut writer = PcapWriter::new(Vec::new(), 0).expect("memory");
    let eth0 = writer.add_interface("eth0").expect("memory");
    let tap1 = writer.add_interface("tap1").expect("memory");
    let bytes = [7_u8; 61];
    let tag = Tag {
        tpid: Tpid::Dot1q,
        tci: Tci(100),
    };
    let frame = Frame {
        stripped: Some(tag),
        ..Frame::new(&bytes)
    };
    let at_ns = 0x0102_0304_0506_0708;
    let seen = Seen {
        at_ns,
        direction: Direction::In,
        comment: Some("drop: no such vlan"),
    };
    writer.received(eth0, &seen, &frame).expect("memory");
    let seen = Seen {
        at_ns,
        direction: Direction::Out,
        comment: None,
    };
    writer
        .parts(tap1, &seen, &[&bytes[..12], &bytes[12..]])
        .expect("memory");
    let file = writer.into_inner();

    let blocks = blocks(&file);
    let kinds: Vec<u32> = blocks.iter().map(|b| b.0).collect();
    assert_eq!(kinds, [SECTION_HEADER, 1, 1, 6, 6]);
    assert_eq!(words(blocks[0].1)[0], BYTE_ORDER_MAGIC);
    assert!(blocks[1].1.windows(4).any(|w| w == b"eth0"));

    let first = blocks[3].1;
    assert_eq!(words(&first[..20]), [0, 0x0102_0304, 0x0506_0708, 65, 65]);
    assert_eq!(
        first[20 + 12..20 + 16],
        [0x81, 0, 0, 100],
        "the tag is back in its place"
    );
    let options = &first[20 + 68..];
    assert_eq!(
        options[..4],
        [2_u16.to_ne_bytes(), 4_u16.to_ne_bytes()].concat()
    );
    assert_eq!(words(&options[4..8]), [1]);
    assert!(options.windows(18).any(|w| w == b"drop: no such vlan"));
    let second = blocks[4].1;
    assert_eq!(words(&second[..20])[3..], [61, 61]);
    assert_eq!(words(&second[20 + 64 + 4..20 + 64 + 8]), [2]);
}

#[test]
fn frames_are_cut_to_the_snap_length_and_long_texts_at_a_character() {
    let mut writer = PcapWriter::new(Vec::new(), 20).expect("memory");
    let port = writer.add_interface(&"ä".repeat(2000)).expect("memory");
    let comment = "ü".repeat(40_000);
    let seen = Seen {
        at_ns: 1,
        direction: Direction::In,
        comment: Some(&comment),
    };
    writer
        .parts(port, &seen, &[&[1; 15], &[2; 15], &[]])
        .expect("memory");
    writer
        .parts(port, &seen, &[])
        .expect("an empty frame is one");
    let file = writer.into_inner();
    let blocks = blocks(&file);
    assert_eq!(words(&blocks[2].1[..20])[3..], [20, 30]);
    assert_eq!(blocks[2].1[20..40], [[1; 15].as_slice(), &[2; 5]].concat());
    assert_eq!(words(&blocks[3].1[..20])[3..], [0, 0]);
}

/// tcpdump and tshark, where they are installed, agree with the bytes that the other tests look at.
#[test]
fn tcpdump_and_tshark_read_the_file() {
    let path = std::env::temp_dir().join(format!("vswitch-pcap-{}.pcapng", std::process::id()));
    let file = std::fs::File::create(&path).expect("create");
    let mut writer = PcapWriter::new(file, 0).expect("write");
    let port = writer.add_interface("eth0").expect("write");
    let mut arp = [0_u8; 42];
    arp[..12].copy_from_slice(&[255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1]);
    arp[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    arp[28..32].copy_from_slice(&[10, 0, 0, 1]);
    arp[38..42].copy_from_slice(&[10, 0, 0, 2]);
    let tag = Tag {
        tpid: Tpid::Dot1q,
        tci: Tci(100),
    };
    let at_ns = 1_700_000_000_123_456_789;
    let seen = Seen {
        at_ns,
        direction: Direction::In,
        comment: Some("drop: vlan"),
    };
    let frame = Frame {
        stripped: Some(tag),
        ..Frame::new(&arp)
    };
    writer.received(port, &seen, &frame).expect("write");
    writer.flush().expect("write");
    let fields = [
        "frame.interface_name",
        "frame.time_epoch",
        "frame.comment",
        "vlan.id",
    ];
    let mut tshark = std::process::Command::new("tshark");
    tshark.args(["-T", "fields", "-E", "separator=|"]);
    for field in fields {
        tshark.args(["-e", field]);
    }
    let mut tcpdump = std::process::Command::new("tcpdump");
    tcpdump.arg("-nne");
    let told = [
        (tcpdump, "vlan 100"),
        (tshark, "eth0|1700000000.123456789|drop: vlan|100"),
    ]
    .map(|(mut tool, wanted)| (tool.arg("-r").arg(&path).output(), wanted));
    std::fs::remove_file(&path).expect("remove");
    for (output, wanted) in told {
        match output {
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stdout);
                assert!(
                    output.status.success(),
                    "{}",
                    String::from_utf8_lossy(&output.stderr)
                );
                assert!(text.contains(wanted), "{text}");
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::NotFound);
                eprintln!("NOT TESTED: the tool that would print `{wanted}` is not installed");
            }
        }
    }
}

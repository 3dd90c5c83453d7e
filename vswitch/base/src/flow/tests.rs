//! The flow hash by hand: names, what each policy counts, tags, ICMP errors, and any bytes.

use super::*;
use crate::ether::HEADER_LEN;
use crate::vlan::Vid;
extern crate std;
use std::string::ToString as _;
use std::vec::Vec;

const DESTINATION: [u8; 6] = [2, 0, 0, 0, 0, 0x21];
const SOURCE: [u8; 6] = [2, 0xa, 0xb, 0xc, 0xd, 0x42];
/// 10.0.0.1 to 10.0.1.2, not a fragment, protocol to be filled in.
const IPV4: [u8; 20] = [
    0x45, 0, 0, 40, 0, 0, 0, 0, 64, 0, 0, 0, 10, 0, 0, 1, 10, 0, 1, 2,
];
/// The two addresses by exclusive or, as a word in memory: 00 00 01 03.
const IPV4_ADDRESSES: u32 = 0x0301_0000;

fn ethernet(kind: u16, payload: &[&[u8]]) -> Vec<u8> {
    let parts = [&DESTINATION[..], &SOURCE, &kind.to_be_bytes()];
    [&parts[..], payload].concat().concat()
}

fn ipv4(protocol: u8) -> [u8; 20] {
    let mut header = IPV4;
    header[9] = protocol;
    header
}

fn tag(tci: u16) -> Tag {
    Tag {
        tpid: Tpid::Dot1q,
        tci: Tci(tci),
    }
}

/// The number without a seed.
fn number(policy: HashPolicy, bytes: &[u8]) -> u32 {
    hash(policy, bytes, None, 0)
}

#[test]
fn names_and_numbers_are_the_kernels() {
    let table = [
        ("layer2", 0),
        ("layer3+4", 1),
        ("layer2+3", 2),
        ("encap2+3", 3),
        ("encap3+4", 4),
        ("vlan+srcmac", 5),
    ];
    assert_eq!(table.len(), HashPolicy::ALL.len());
    for (name, number) in table {
        let policy = HashPolicy::from_number(number).unwrap();
        assert_eq!(policy.number(), number);
        assert_eq!(policy.to_string(), name);
        assert_eq!(name.parse(), Ok(policy));
        assert_eq!(number.to_string().parse(), Ok(policy));
    }
    for wrong in ["", "6", "layer3", "Layer2", "-1", "256"] {
        assert_eq!(wrong.parse::<HashPolicy>(), Err(InvalidHashPolicy));
    }
    assert_eq!(
        InvalidHashPolicy.to_string(),
        "no hash policy; use layer2, layer3+4, layer2+3, encap2+3, encap3+4, vlan+srcmac, or the \
         number 0 to 5"
    );
}

#[test]
fn each_policy_counts_what_it_names() {
    let ports = [0x04, 0xd2, 0x00, 0x50];
    let frame = ethernet(0x0800, &[&ipv4(6), &ports, &[0; 16]]);
    let layer2 = 0x21 ^ 0x42 ^ 0x0800;
    let folded = |word: u32| {
        let word = word ^ word >> 16;
        word ^ word >> 8
    };
    let flow = folded(0x5000_d204 ^ IPV4_ADDRESSES) >> 1;
    let table = [
        (HashPolicy::Layer2, layer2),
        (HashPolicy::Layer23, folded(layer2 ^ IPV4_ADDRESSES)),
        (HashPolicy::Layer34, flow),
        (HashPolicy::Encap23, folded(layer2 ^ IPV4_ADDRESSES)),
        (HashPolicy::Encap34, flow),
        (HashPolicy::VlanSrcmac, 0x02_0a0b ^ 0x0c_0d42),
    ];
    for (policy, expected) in table {
        assert_eq!(number(policy, &frame), expected, "{policy}");
    }
}

#[test]
fn a_tag_in_band_and_one_beside_the_bytes_are_one() {
    let plain = ethernet(0x0800, &[&ipv4(17), &[1, 2, 3, 4, 5, 6, 7, 8]]);
    let tagged = ethernet(0x8100, &[&[0xa0, 0x64], &plain[12..]]);
    for policy in HashPolicy::ALL {
        let beside = hash(policy, &plain, Some(tag(0xa064)), 0);
        assert_eq!(number(policy, &tagged), beside, "{policy}");
        let has_tag = if policy == HashPolicy::VlanSrcmac {
            0xa064
        } else {
            0
        };
        assert_eq!(beside, number(policy, &plain) ^ has_tag, "{policy}");
    }
    let hundred = Tci(0).with_vid(Vid::new(100).unwrap());
    assert_eq!(
        FlowView::new(&tagged, None)
            .unwrap()
            .tag
            .unwrap()
            .vid_bits(),
        hundred.vid_bits()
    );
}

#[test]
fn a_second_tag_hides_the_packet_from_all_but_encap() {
    let plain = ethernet(0x0800, &[&ipv4(17), &[1, 2, 3, 4, 5, 6, 7, 8]]);
    let double = ethernet(0x88a8, &[&[0, 5, 0x81, 0, 0, 6], &plain[12..]]);
    let layer2 = 0x21 ^ 0x42 ^ 0x8100;
    assert_eq!(number(HashPolicy::Layer34, &double), layer2);
    assert_eq!(number(HashPolicy::Layer23, &double), layer2);
    let flow = number(HashPolicy::Layer34, &plain);
    assert_eq!(number(HashPolicy::Encap34, &double), flow);
}

#[test]
fn a_tag_before_mpls_is_in_band() {
    let frame = ethernet(0x8100, &[&[0xa0, 0x64, 0x88, 0x47, 0, 1, 0x08, 0], &IPV4]);
    let beside = ethernet(0x8847, &[&[0, 1, 0x08, 0], &IPV4]);
    for policy in HashPolicy::ALL {
        let number = number(policy, &frame);
        assert_eq!(number, hash(policy, &beside, Some(tag(0xa064)), 0));
        let expected = match policy {
            HashPolicy::VlanSrcmac => 0x02_0a0b ^ 0x0c_0d42,
            // The label is taken for a tag, whose last two bytes say IPv4.
            HashPolicy::Encap23 | HashPolicy::Encap34 => continue,
            _ => 0x21 ^ 0x42 ^ 0x8100,
        };
        assert_eq!(number, expected, "{policy}");
    }
    let flow = IPV4_ADDRESSES ^ IPV4_ADDRESSES >> 16;
    assert_eq!(number(HashPolicy::Encap34, &frame), (flow ^ flow >> 8) >> 1);
}

#[test]
fn an_icmp_error_goes_with_the_flow_it_tells_of() {
    let ports = [0x04, 0xd2, 0x00, 0x50];
    let told = [&ipv4(17)[..], &ports, &[0; 4]].concat();
    let flow = ethernet(0x0800, &[&told]);
    let mut router = ipv4(1);
    router[12..16].copy_from_slice(&[192, 0, 2, 9]);
    let error = ethernet(0x0800, &[&router, &[3, 3, 0, 0, 0, 0, 0, 0], &told]);
    for policy in [HashPolicy::Layer34, HashPolicy::Layer23] {
        assert_eq!(number(policy, &error), number(policy, &flow));
    }
    let encap = number(HashPolicy::Encap34, &error);
    assert_ne!(encap, number(HashPolicy::Encap34, &flow));
}

#[test]
fn igmp_is_told_from_all_else() {
    let is_igmp = |frame: &[u8]| FlowView::new(frame, None).is_some_and(|view| view.is_igmp());
    let igmp = ethernet(0x0800, &[&ipv4(2), &[0x16, 0, 0, 0]]);
    assert!(is_igmp(&igmp));
    assert!(is_igmp(&ethernet(0x8100, &[&[0, 9], &igmp[12..]])));
    assert!(!is_igmp(&ethernet(0x0800, &[&ipv4(17)])));
    assert!(!is_igmp(&ethernet(0x86dd, &[&ipv4(2)])));
    assert!((0..34).all(|len| !is_igmp(&igmp[..len])));
}

#[test]
fn a_seed_deals_anew_and_keeps_flows_together() {
    let frames: Vec<_> = (0..64u8)
        .map(|n| ethernet(0x0800, &[&ipv4(6), &[n, 1, 2, 3]]))
        .collect();
    let numbers = |seed| -> Vec<_> {
        let of = |frame: &Vec<u8>| hash(HashPolicy::Layer34, frame, None, seed);
        frames.iter().map(of).collect()
    };
    let (kernel, seven, eight) = (numbers(0), numbers(7), numbers(8));
    for other in [&seven, &eight] {
        for (a, b) in [(0, 1), (2, 9), (10, 63)] {
            assert_eq!(kernel[a] == kernel[b], other[a] == other[b]);
        }
    }
    let moved = |a: &[u32], b: &[u32]| a.iter().zip(b).filter(|(a, b)| *a % 2 != *b % 2).count();
    for moved in [moved(&kernel, &seven), moved(&seven, &eight)] {
        assert!(
            (16..=48).contains(&moved),
            "{moved} of 64 moved between two"
        );
    }
}

/// Every start of a frame that nests everything, and random bytes after every plausible start, have a
/// number in every policy: nothing is read behind the end.
#[test]
fn any_bytes_have_a_number() {
    let kinds: [u16; 17] = [
        0x0800, 0x86dd, 0x8100, 0x88a8, 0x8864, 0x88ca, 0x8847, 0x8848, 0x8906, 0x4305, 0x88f7,
        0x88fb, 0x892f, 0x8902, 0x0806, 0x8035, 0x0042,
    ];
    let protocols = [0, 1, 4, 6, 17, 41, 43, 44, 47, 50, 51, 58, 60, 132, 137];
    let mut state = 1u32;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    for round in 0..4_000usize {
        let mut bytes: Vec<u8> = (0..160).map(|_| random().to_le_bytes()[0]).collect();
        bytes[12..14].copy_from_slice(&kinds[round % kinds.len()].to_be_bytes());
        for at in [20, 23, 34, 54, 62] {
            bytes[at] = protocols[random() as usize % protocols.len()];
        }
        if round % 2 == 0 {
            bytes[14] = 0x45;
            bytes[20..22].fill(0);
            let inner = kinds[random() as usize % kinds.len()].to_be_bytes();
            bytes[34..38].copy_from_slice(&[0, 0, inner[0], inner[1]]);
        }
        let len = random() as usize % (bytes.len() + 1);
        for policy in HashPolicy::ALL {
            let cut = hash(policy, &bytes[..len], None, 0);
            assert!(cut == 0 || len >= HEADER_LEN);
            // Of a tag beside the bytes only one policy knows the number.
            let of = |tci| hash(policy, &bytes[..len], Some(tag(tci)), 1);
            assert!(of(5) == of(6) || policy == HashPolicy::VlanSrcmac);
        }
    }
}

#[test]
fn a_chain_without_end_ends() {
    // IP in IP in IP: a header of its own length each.
    let frame = ethernet(0x0800, &[&[&ipv4(4)[..]; 70].concat()]);
    let expected = {
        let word = IPV4_ADDRESSES ^ IPV4_ADDRESSES >> 16;
        (word ^ word >> 8) >> 1
    };
    assert_eq!(number(HashPolicy::Encap34, &frame), expected);
    // Tags upon tags.
    let frame = ethernet(0x8100, &[&[0, 1, 0x81, 0].repeat(300)]);
    assert_eq!(number(HashPolicy::Encap34, &frame), 0);
}

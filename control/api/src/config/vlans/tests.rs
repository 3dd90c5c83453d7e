//! Tests of VLAN ranges and sets: text forms, JSON forms, and set algebra against an oracle.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn ranges_and_sets_read_what_they_print() {
    let set: VlanSet = "300,100, 200-299".parse().expect("a set");
    assert_eq!(set.to_string(), "100,200-300", "sorted and merged");
    assert_eq!(set.len(), 102);
    assert_eq!("".parse::<VlanSet>(), Ok(VlanSet::new()));
    assert_eq!(
        serde_json::to_string(&set).expect("json"),
        r#"[100,"200-300"]"#
    );
}

#[test]
fn what_is_no_set_says_why() {
    for bad in ["x", "1-", "-1", "1-2-3", "+5", "70000", "1,,2", "1 2"] {
        assert!(
            matches!(bad.parse::<VlanSet>(), Err(VlanParseError::NotANumber(_))),
            "{bad}"
        );
    }
    assert_eq!(
        "20-10".parse::<VlanSet>(),
        Err(VlanParseError::Backwards("20-10".into()))
    );
    let error = serde_json::from_str::<VlanSet>("[70000]")
        .expect_err("too large")
        .to_string();
    assert!(error.contains("1 to 4094"), "{error}");
    let error = serde_json::from_str::<VlanSet>("100")
        .expect_err("not a list")
        .to_string();
    assert!(error.contains("[100, \"200-299\"]"), "{error}");
    assert!(serde_json::from_str::<VlanRange>(r#"{"first":9,"last":3}"#).is_err());
}

fn range() -> impl Strategy<Value = VlanRange> {
    (0..=5000u16, 0..=300u16).prop_map(|(first, more)| VlanRange {
        first,
        last: first + more,
    })
}

proptest! {
    #[test]
    fn a_set_agrees_with_a_btreeset(edits in prop::collection::vec((range(), any::<bool>()), 0..24)) {
        let (mut set, mut oracle) = (VlanSet::new(), BTreeSet::new());
        for (range, insert) in edits {
            if insert {
                set.insert(range);
                oracle.extend(range.first..=range.last);
            } else {
                set.remove(range);
                oracle.retain(|vid| !range.contains(*vid));
            }
        }
        prop_assert_eq!(set.len(), oracle.len());
        prop_assert!(set.iter().eq(oracle.iter().copied()));
        prop_assert!(set.ranges().windows(2).all(|pair| pair[0].last + 1 < pair[1].first));
        prop_assert_eq!(set.to_string().parse::<VlanSet>(), Ok(set.clone()));
        let json = serde_json::to_string(&set).expect("json");
        prop_assert_eq!(serde_json::from_str::<VlanSet>(&json).expect("same"), set);
    }

    #[test]
    fn any_text_gives_a_set_or_an_error(text in "\\PC{0,40}") {
        if let Ok(set) = text.parse::<VlanSet>() {
            prop_assert_eq!(set.to_string().parse::<VlanSet>(), Ok(set));
        }
    }
}

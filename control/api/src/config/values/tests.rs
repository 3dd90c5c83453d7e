//! Tests of the small values: each text form, its limits, and what is refused with which words.

use proptest::prelude::*;

use super::*;

#[test]
fn macs_read_both_separators_and_refuse_the_rest() {
    assert_eq!(
        "52-54-00-9A-11-02"
            .parse::<Mac>()
            .expect("a MAC")
            .to_string(),
        "52:54:00:9a:11:02"
    );
    for bad in [
        "",
        "52:54:00:9a:11",
        "52:54:00:9a:11:02:03",
        "5:54:00:9a:11:02",
        "52:54:00:9a:11:+2",
        "52:54-00:9a:11:02",
    ] {
        assert!(bad.parse::<Mac>().is_err(), "{bad}");
    }
    assert!(Mac([2, 0, 0, 0, 0, 1]).is_station());
    assert!(!Mac([1, 0, 0x5e, 0, 0, 1]).is_station() && !Mac::default().is_station());
}

#[test]
fn durations_keep_their_unit_up_to_seconds() {
    for (text, shown) in [
        ("300s", "300s"),
        ("5m", "300s"),
        ("1500ms", "1500ms"),
        ("20us", "20us"),
        ("0s", "0s"),
        ("7ns", "7ns"),
    ] {
        assert_eq!(text.parse::<Timespan>().expect(text).to_string(), shown);
    }
    for bad in [
        "",
        "300",
        "s",
        "-1s",
        "1.5s",
        "1 week",
        "99999999999999999999s",
        "600000000h",
    ] {
        assert!(bad.parse::<Timespan>().is_err(), "{bad}");
    }
}

/// F-03, F-04
#[test]
fn ageing_has_two_words_and_refuses_zero() {
    assert_eq!("never".parse(), Ok(Ageing::Never));
    assert_eq!("off".parse(), Ok(Ageing::Off));
    assert_eq!(Ageing::default().to_string(), "300s");
    let error = "0s".parse::<Ageing>().expect_err("ambiguous").to_string();
    assert!(
        error.contains("\"off\"") && error.contains("\"never\""),
        "{error}"
    );
}

#[test]
fn cidrs_need_their_prefix() {
    let cidr: Cidr = "192.168.10.11/24".parse().expect("a CIDR");
    assert!(cidr.contains("192.168.10.1".parse().expect("ip")));
    assert!(!cidr.contains("192.168.11.1".parse().expect("ip")));
    assert!(!cidr.contains("fe80::1".parse().expect("ip")));
    assert!(
        "::/0"
            .parse::<Cidr>()
            .expect("all")
            .contains("2001:db8::1".parse().expect("ip"))
    );
    for bad in [
        "192.168.10.11",
        "192.168.10.11/33",
        "fe80::1/129",
        "x/24",
        "1.2.3.4/-1",
        "1.2.3.4/",
    ] {
        assert!(bad.parse::<Cidr>().is_err(), "{bad}");
    }
}

#[test]
fn choices_print_what_they_read() {
    for name in PortKind::NAMES {
        assert_eq!(name.parse::<PortKind>().expect(name).to_string(), *name);
    }
    let error = "veht".parse::<PortKind>().expect_err("unknown").to_string();
    assert!(error.contains("nic, tap, bond, mem"), "{error}");
    assert_eq!(
        serde_json::to_string(&BpduPolicy::Guard).expect("json"),
        "\"guard\""
    );
}

#[test]
fn workers_are_auto_or_a_number() {
    assert_eq!(
        serde_json::from_str::<Workers>("\"auto\"").expect("auto"),
        Workers::Auto
    );
    assert_eq!(
        serde_json::from_str::<Workers>("3").expect("3"),
        Workers::Count(3)
    );
    for bad in ["\"many\"", "-1", "1.5", "null"] {
        assert!(serde_json::from_str::<Workers>(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn values_read_what_they_print(octets: [u8; 6], ns: u64, v4: u32, v6: u128, prefix in 0..=32u8) {
        prop_assert_eq!(Mac(octets).to_string().parse(), Ok(Mac(octets)));
        let span = Timespan(Duration::from_nanos(ns));
        prop_assert_eq!(span.to_string().parse(), Ok(span));
        for address in [IpAddr::V4(v4.into()), IpAddr::V6(v6.into())] {
            let cidr = Cidr { address, prefix };
            prop_assert_eq!(cidr.to_string().parse(), Ok(cidr));
            prop_assert!(cidr.contains(address));
        }
    }

    #[test]
    fn any_text_gives_a_value_or_an_error(text in "\\PC{0,40}") {
        let _ = text.parse::<Mac>();
        let _ = text.parse::<Cidr>();
        if let Ok(ageing) = text.parse::<Ageing>() {
            prop_assert_eq!(ageing.to_string().parse(), Ok(ageing));
        }
    }
}

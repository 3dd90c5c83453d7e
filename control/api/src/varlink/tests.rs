//! Tests of the codec: framing in any chunks, limits, and what is no varlink.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Feeds chunks to a reader and returns its messages, or the error.
fn read(limit: usize, chunks: &[&[u8]]) -> Result<Vec<Vec<u8>>, WireError> {
    let mut reader = MessageReader::new(limit);
    let mut messages = Vec::new();
    for chunk in chunks {
        let mut input = *chunk;
        while let Some(message) = reader.next_message(&mut input)? {
            messages.push(message);
        }
        assert!(input.is_empty(), "None means that all was taken");
        assert!(reader.buffered() <= limit);
    }
    Ok(messages)
}

#[test]
fn messages_come_out_whole_in_any_chunks() {
    let stream = b"one\0two\0\0thr";
    let expected = vec![b"one".to_vec(), b"two".to_vec(), Vec::new()];
    assert_eq!(read(16, &[stream]).expect("short"), expected);
    let single: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(read(16, &single).expect("short"), expected);
}

#[test]
fn the_limit_is_exact_and_final() {
    assert_eq!(read(3, &[b"abc\0"]).expect("fits").len(), 1);
    assert!(matches!(
        read(3, &[b"abcd\0"]),
        Err(WireError::TooLong { limit: 3 })
    ));
    assert!(matches!(
        read(3, &[b"ab", b"c", b"d"]),
        Err(WireError::TooLong { .. })
    ));
    let mut reader = MessageReader::new(3);
    assert!(reader.next_message(&mut &b"abcd"[..]).is_err());
    assert!(
        reader.next_message(&mut &b"\0ok\0"[..]).is_err(),
        "no way back into the stream"
    );
    assert_eq!(reader.buffered(), 0, "a failed reader holds nothing");
}

/// A peer that never sends a NUL: the reader stops at its limit.
#[test]
fn sixty_four_mebibytes_without_an_end_cost_at_most_the_limit() {
    let chunk = vec![b'x'; 64 * 1024];
    let mut reader = MessageReader::default();
    let mut most = 0;
    let failed = (0..1024).any(|_| {
        let result = reader.next_message(&mut chunk.as_slice());
        most = most.max(reader.buffered());
        result.is_err()
    });
    assert!(failed && most <= MESSAGE_MAX, "{most}");
}

#[test]
fn deep_nesting_is_refused_without_a_deep_stack() {
    let deep = format!(
        "{{\"method\":\"a.b\",\"parameters\":{}",
        "[".repeat(5_000_000)
    );
    assert!(matches!(
        Call::parse(deep.as_bytes()),
        Err(WireError::Malformed(_))
    ));
    let closed = format!(
        "{{\"method\":\"a.b\",\"parameters\":{}{}}}",
        "[".repeat(1000),
        "]".repeat(1000)
    );
    assert!(Call::parse(closed.as_bytes()).is_err());
}

#[test]
fn calls_and_replies_have_the_shape_of_the_specification() {
    let call = Call::parse(br#"{"method":"io.vswitch.Switch.GetHealth","more":null,"unknown":1}"#)
        .expect("a call");
    assert_eq!(call.parameters, json!({}));
    assert!(matches!(call.request(), Ok(Request::GetHealth(_))));
    let bytes = encode(&Reply::continues(&json!({"a": 1}))).expect("short");
    assert_eq!(bytes, b"{\"parameters\":{\"a\":1},\"continues\":true}\0");
    let error = ApiError::not_found("port", "x", []);
    let bytes = encode(&Reply::error(&error)).expect("short");
    let reply = Reply::parse(bytes.strip_suffix(b"\0").expect("NUL")).expect("a reply");
    assert_eq!(reply.error.as_deref(), Some("io.vswitch.Switch.NotFound"));
    assert_eq!(reply.into_result(), Err(error));
    for bad in [
        "",
        "[]",
        "1",
        "{}",
        "{\"method\":5}",
        "{\"method\":\"a\",\"more\":1}",
        "{\"method\":\"a\"} x",
        "\u{1}",
    ] {
        assert!(Call::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn a_stream_needs_more_and_nothing_upgrades() {
    let call = |more, upgrade| Call {
        method: "io.vswitch.Switch.Watch".into(),
        parameters: json!({}),
        more,
        upgrade,
        oneway: false,
    };
    assert_eq!(call(false, false).request(), Err(ApiError::ExpectedMore {}));
    assert!(call(true, false).request().is_ok());
    assert!(call(true, true).request().is_err());
}

#[test]
fn a_message_over_the_limit_is_not_written() {
    let reply = Reply::last(&json!({"text": "x".repeat(MESSAGE_MAX)}));
    assert!(matches!(encode(&reply), Err(WireError::TooLong { .. })));
}

proptest! {
    #[test]
    fn any_bytes_in_any_chunks_are_the_same_messages(
        bytes in prop::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(0)], 0..300),
        cuts in prop::collection::vec(0..300usize, 0..12),
        limit in 0..200usize,
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let mut parts: Vec<Vec<u8>> = bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
        let too_long = parts.iter().any(|part| part.len() > limit);
        parts.pop(); // Behind the last NUL: not complete.
        match read(limit, &chunks) {
            Ok(messages) => {
                prop_assert!(!too_long);
                prop_assert_eq!(messages, parts);
            }
            Err(_) => prop_assert!(too_long),
        }
    }

    #[test]
    fn any_message_is_parsed_or_refused(bytes: Vec<u8>) {
        let _ = Call::parse(&bytes).map(|call| call.request());
        let _ = Reply::parse(&bytes).map(Reply::into_result);
    }

    #[test]
    fn a_mutated_call_is_parsed_or_refused(at in 0..90usize, byte: u8) {
        let call = Call { method: "io.vswitch.Switch.AddVlan".into(), parameters: json!({"port": "p", "first": 100, "pvid": true}), ..Call::default() };
        let mut bytes = encode(&call).expect("short");
        bytes.pop();
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        let _ = Call::parse(&bytes).map(|call| call.request());
    }

    #[test]
    fn calls_survive(method in "[a-z.A-Z]{1,20}", more: bool, oneway: bool, number: i64) {
        let call = Call { method, parameters: json!({"n": number}), more, oneway, upgrade: false };
        let bytes = encode(&call).expect("short");
        prop_assert_eq!(Call::parse(&bytes[..bytes.len() - 1]).expect("a call"), call);
    }
}

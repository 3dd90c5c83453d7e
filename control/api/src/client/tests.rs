//! Tests of the client against scripted daemons on the other end of a socket.

use std::os::unix::net::UnixListener;
use std::thread;

use super::*;
use crate::request::{DaemonGetInfo, FdbList, GetHealth, Watch};
use crate::types::{FdbPage, HealthReply};

/// A client whose daemon answers the first call with these bytes, and then hangs up.
fn answered(bytes: &'static [u8]) -> Client {
    scripted(bytes, Duration::ZERO)
}

/// As [`answered`], but the daemon stays for a while.
fn scripted(bytes: &'static [u8], stay: Duration) -> Client {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    thread::spawn(move || {
        let mut call = Vec::new();
        let mut byte = [0];
        while theirs.read(&mut byte).is_ok_and(|count| count == 1) && byte != [0] {
            call.push(byte[0]);
        }
        assert!(Call::parse(&call).is_ok(), "the client sends varlink");
        for chunk in bytes.chunks(7) {
            if theirs.write_all(chunk).is_err() {
                return;
            }
        }
        thread::sleep(stay);
    });
    Client::over(ours, Duration::from_secs(5))
}

fn health() -> &'static [u8] {
    let reply = HealthReply {
        generation: 7,
        ..HealthReply::default()
    };
    encode(&Reply::last(&reply)).expect("short").leak()
}

#[test]
fn a_call_gives_its_typed_answer() {
    let reply = answered(health()).call(&GetHealth {}).expect("an answer");
    assert_eq!(reply.generation, 7);
}

#[test]
fn a_refusal_is_the_daemons_error() {
    let error = ApiError::not_found("port", "x", ["y"]);
    let bytes = encode(&Reply::error(&error)).expect("short").leak();
    let refused = answered(bytes).call(&GetHealth {});
    assert!(matches!(refused, Err(ClientError::Refused(got)) if got == error));
}

#[test]
fn pages_come_one_by_one_and_the_connection_goes_on() {
    let page = |truncated| FdbPage {
        truncated,
        ..FdbPage::default()
    };
    let mut bytes = encode(&Reply::continues(&page(true))).expect("short");
    bytes.extend(encode(&Reply::last(&page(false))).expect("short"));
    bytes.extend(health());
    let mut client = answered(bytes.leak());
    let pages: Vec<FdbPage> = client
        .call_more(&FdbList::default())
        .expect("sent")
        .map(|page| page.expect("a page"))
        .collect();
    assert_eq!(pages, [page(true), page(false)]);
    // The script has no second question: its answer is there already.
    assert_eq!(
        client
            .receive("x", Some(TIMEOUT))
            .expect("in order")
            .into_result()
            .expect("health")["generation"],
        7
    );
    assert!(!client.unusable);
}

#[test]
fn a_stream_that_is_left_ends_the_connection() {
    let bytes = encode(&Reply::continues(&serde_json::json!({})))
        .expect("short")
        .leak();
    let mut client = answered(bytes);
    assert!(
        client
            .call_more(&Watch::default())
            .expect("sent")
            .next()
            .expect("first")
            .is_ok()
    );
    assert!(matches!(
        client.call(&GetHealth {}),
        Err(ClientError::Broken { .. })
    ));
}

#[test]
fn what_is_no_answer_is_told_apart() {
    let of = |bytes: &'static [u8]| answered(bytes).call(&GetHealth {}).expect_err("no answer");
    assert!(matches!(of(b"hello\0"), ClientError::Protocol { .. }));
    assert!(
        matches!(
            of(b"{\"parameters\":{\"a\":1}}\0"),
            ClientError::Protocol { .. }
        ),
        "another type"
    );
    assert!(matches!(
        of(b"{\"parameters\":{},\"continues\":true}\0"),
        ClientError::Protocol { .. }
    ));
    assert!(matches!(of(b""), ClientError::Broken { .. }));
    assert!(matches!(of(b"{\"param"), ClientError::Broken { .. }));
}

#[test]
fn no_answer_in_time_is_an_error_even_if_bytes_trickle() {
    let mut client = scripted(b"{\"parameters\":", Duration::from_secs(5));
    client.timeout = Duration::from_millis(50);
    let begin = Instant::now();
    assert!(matches!(
        client.call(&DaemonGetInfo {}),
        Err(ClientError::TimedOut { .. })
    ));
    assert!(begin.elapsed() < Duration::from_secs(4));
    assert!(
        matches!(client.call(&GetHealth {}), Err(ClientError::Broken { .. })),
        "a late answer would be the wrong one"
    );
}

#[test]
fn a_flood_without_end_is_cut() {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    thread::spawn(move || while theirs.write_all(&[b'x'; 65_536]).is_ok() {});
    let mut client = Client::over(ours, TIMEOUT);
    assert!(matches!(
        client.call(&GetHealth {}),
        Err(ClientError::Protocol { .. })
    ));
    assert!(client.reader.buffered() <= crate::varlink::MESSAGE_MAX);
}

#[test]
fn failures_to_connect_are_told_apart() {
    let folder = std::env::temp_dir().join(format!("vswitch-api-client-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let socket = folder.join("sock");
    let missing = Client::connect(&socket, TIMEOUT);
    drop(UnixListener::bind(&socket).expect("a socket"));
    let stale = Client::connect(&socket, TIMEOUT);
    let odd = Client::connect(Path::new(&"x".repeat(300)), TIMEOUT);
    std::fs::remove_dir_all(&folder).expect("cleaned up");
    assert!(matches!(missing, Err(ClientError::NotRunning { .. })));
    assert!(matches!(stale, Err(ClientError::NotListening { .. })));
    assert!(
        matches!(odd, Err(ClientError::Connect { .. })),
        "a path too long for a socket"
    );
    for error in [missing, stale] {
        let error = error.expect_err("not connected");
        assert!(
            error.hint().is_some_and(|hint| hint.contains("systemctl")),
            "{error}"
        );
    }
}

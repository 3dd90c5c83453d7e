//! `ping-pong` and `echo`: round trips of UDP datagrams, one at a time.
//!
//! Both ends block in the kernel, as programs do. A reply that does not come within [`PATIENCE`] is lost.

use crate::ready;
use clap::Args;
use serde_json::{Value, json};
use std::io::{self, Read};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_millis(200);
/// Round trips before those that count.
const WARM_UP: u64 = 100;

#[derive(Debug, Args)]
pub(crate) struct PingPong {
    /// The address of `echo`.
    #[arg(long, value_name = "IP:PORT")]
    to: SocketAddr,
    /// Ping for so long.
    #[arg(long, default_value_t = 2.0, value_name = "S")]
    seconds: f64,
    /// Bytes of a datagram: 18 make a frame of 60.
    #[arg(long, default_value_t = 18, value_parser = clap::value_parser!(u16).range(8..=1472))]
    payload: u16,
}

#[derive(Debug, Args)]
pub(crate) struct Echo {
    /// Where to listen.
    #[arg(long, value_name = "IP:PORT")]
    bind: SocketAddr,
}

pub(crate) fn ping_pong(options: &PingPong) -> io::Result<Value> {
    if !options.seconds.is_finite() || options.seconds <= 0.0 {
        return Err(io::Error::other("--seconds must be above zero"));
    }
    let any: SocketAddr = if options.to.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(options.to)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut times = Vec::new();
    let (mut number, mut lost) = (0_u64, 0_u64);
    let mut payload = vec![0; usize::from(options.payload)];
    let end = Instant::now() + Duration::from_secs_f64(options.seconds);
    while Instant::now() < end {
        number += 1;
        payload[..8].copy_from_slice(&number.to_be_bytes());
        let start = Instant::now();
        // A refusal by the far end's stack is reported here or by the reception.
        let answered = socket.send(&payload).is_ok() && await_reply(&socket, number);
        let spent = start.elapsed();
        if !answered {
            lost += 1;
        } else if number > WARM_UP {
            times.push(spent.as_secs_f64() * 1e6);
        }
    }
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times.get(times.len() * percent / 100).copied();
    Ok(json!({
        "tool": "ping-pong", "trips": times.len(), "lost": lost,
        "p50_us": at(50), "p90_us": at(90), "p99_us": at(99), "max_us": times.last(),
    }))
}

/// Whether the reply to datagram `number` came; replies to earlier ones are passed over.
fn await_reply(socket: &UdpSocket, number: u64) -> bool {
    let mut reply = [0; 2048];
    loop {
        match socket.recv(&mut reply) {
            Ok(len) if len >= 8 && reply[..8] == number.to_be_bytes() => return true,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

pub(crate) fn echo(options: &Echo) -> io::Result<Value> {
    let socket = UdpSocket::bind(options.bind)?;
    ready();
    let watcher = std::thread::spawn(|| {
        let mut bytes = [0; 64];
        while matches!(io::stdin().read(&mut bytes), Ok(1..)) {}
    });
    let mut bytes = [0; 2048];
    let mut echoed = 0_u64;
    socket.set_read_timeout(Some(PATIENCE))?;
    while !watcher.is_finished() {
        match socket.recv_from(&mut bytes) {
            Ok((len, from)) => {
                // A reply that the device refuses is lost, as on any network.
                echoed += u64::from(socket.send_to(&bytes[..len], from).is_ok());
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::Interrupted
                        | io::ErrorKind::ConnectionRefused
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(json!({ "tool": "echo", "echoed": echoed }))
}

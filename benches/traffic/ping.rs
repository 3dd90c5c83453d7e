//! `ping-pong` and `echo`: round trips of UDP datagrams, one after the other or at a rate.
//!
//! Both ends block in the kernel, as programs do. A reply that does not come within [`PATIENCE`] is lost,
//! and counts as one that took so long. At a rate datagrams leave when they are due, whatever became of
//! those before: a switch that holds some up cannot hide it by being asked less often.

use crate::ready;
use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use std::io::{self, Read};
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_millis(200);
/// Round trips before those that count.
const WARM_UP: usize = 100;

#[derive(Debug, Args)]
pub(crate) struct PingPong {
    /// The address of `echo`.
    #[arg(long, value_name = "IP:PORT")]
    to: SocketAddr,
    /// Ping for so long.
    #[arg(long, default_value_t = 2.0, value_name = "S")]
    seconds: f64,
    /// Datagrams a second; without it the next leaves when the reply to the last is there.
    #[arg(long, value_name = "PPS")]
    rate: Option<f64>,
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

/// How long each datagram's reply took, `None` where none came in time.
type Trips = Vec<Option<Duration>>;

pub(crate) fn ping_pong(options: &PingPong) -> io::Result<Value> {
    let valid = |x: f64| x.is_finite() && x > 0.0;
    if !valid(options.seconds) || !options.rate.is_none_or(valid) {
        return Err(io::Error::other("--seconds and --rate must be above zero"));
    }
    let any: SocketAddr = if options.to.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(options.to)?;
    let payload = vec![0; usize::from(options.payload)];
    let time = Duration::from_secs_f64(options.seconds);
    let trips = match options.rate {
        Some(rate) => at_a_rate(&socket, payload, time, rate)?,
        None => one_by_one(&socket, payload, time)?,
    };
    Ok(tell(&trips))
}

fn tell(trips: &[Option<Duration>]) -> Value {
    let counted = trips.get(WARM_UP..).unwrap_or_default();
    let answered = counted.iter().flatten().count();
    let mut times: Vec<f64> = counted
        .iter()
        .map(|trip| trip.unwrap_or(PATIENCE).as_secs_f64() * 1e6)
        .collect();
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times.get(times.len() * percent / 100).copied();
    json!({
        "tool": "ping-pong", "trips": answered, "lost": counted.len() - answered,
        "p50_us": at(50), "p90_us": at(90), "p99_us": at(99), "max_us": times.last(),
    })
}

/// Each datagram leaves when the reply to the last is there or given up.
fn one_by_one(socket: &UdpSocket, mut payload: Vec<u8>, time: Duration) -> io::Result<Trips> {
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut trips = Trips::new();
    let end = Instant::now() + time;
    while Instant::now() < end {
        let number = trips.len() as u64;
        payload[..8].copy_from_slice(&number.to_be_bytes());
        let start = Instant::now();
        // A refusal by the far end's stack is reported here or by the reception.
        let answered = socket.send(&payload).is_ok() && await_reply(socket, number);
        trips.push(answered.then(|| start.elapsed()));
    }
    Ok(trips)
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

/// Datagrams leave `rate` times a second; replies are taken in as they come.
fn at_a_rate(
    socket: &UdpSocket,
    mut payload: Vec<u8>,
    time: Duration,
    rate: f64,
) -> io::Result<Trips> {
    socket.set_nonblocking(true)?;
    // A wait of 900 us is to be that, not 950.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let (mut sent, mut trips) = (Vec::<Instant>::new(), Trips::new());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "both are above zero, and a float beyond usize becomes its largest"
    )]
    let total = (time.as_secs_f64() * rate).round() as usize;
    let start = Instant::now();
    loop {
        let now = Instant::now();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 datagrams")]
        let due = start + Duration::from_secs_f64(sent.len() as f64 / rate);
        if due <= now && sent.len() < total {
            payload[..8].copy_from_slice(&(sent.len() as u64).to_be_bytes());
            // One that is refused is lost.
            let _refused = socket.send(&payload);
            sent.push(now);
            trips.push(None);
            continue;
        }
        let mut until = due;
        if sent.len() >= total {
            until = sent.last().map_or(now, |last| *last + PATIENCE);
            if now >= until || trips.iter().all(Option::is_some) {
                return Ok(trips);
            }
        }
        if is_readable(socket, until - now)? {
            take_replies(socket, &sent, &mut trips);
        }
    }
}

fn is_readable(socket: &UdpSocket, wait: Duration) -> io::Result<bool> {
    let timeout = Timespec::try_from(wait).map_err(io::Error::other)?;
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    match poll(&mut fds, Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Takes the replies that are there. One that is late stays lost, and of two the first counts.
fn take_replies(socket: &UdpSocket, sent: &[Instant], trips: &mut Trips) {
    let mut reply = [0; 2048];
    while let Ok(len) = socket.recv(&mut reply) {
        let Some(number) = reply[..len].first_chunk().copied().map(u64::from_be_bytes) else {
            continue;
        };
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        if let (Some(start), Some(trip)) = (sent.get(number), trips.get_mut(number))
            && trip.is_none()
        {
            *trip = Some(start.elapsed()).filter(|took| *took <= PATIENCE);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_counts_as_the_longest_wait() {
        let mut trips = vec![None; WARM_UP];
        let quick = Some(Duration::from_micros(10));
        trips.extend(std::iter::repeat_n(quick, 98).chain([None, None]));
        let told = tell(&trips);
        assert_eq!(
            (told["trips"].as_u64(), told["lost"].as_u64()),
            (Some(98), Some(2))
        );
        assert_eq!(
            (told["p50_us"].as_f64(), told["p99_us"].as_f64()),
            (Some(10.0), Some(2e5))
        );
    }

    #[test]
    fn nothing_that_counts_has_no_figures() {
        let told = tell(&[Some(PATIENCE); WARM_UP]);
        assert_eq!(told["trips"], 0);
        assert!(told["p50_us"].is_null() && told["max_us"].is_null());
    }

    /// At a rate, datagrams leave although nobody answers.
    #[test]
    fn a_rate_is_kept_without_replies() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let options = PingPong {
            to: silent.local_addr().unwrap(),
            seconds: 0.02,
            rate: Some(10_000.0),
            payload: 18,
        };
        let told = ping_pong(&options).unwrap();
        assert_eq!(
            (told["trips"].as_u64(), told["lost"].as_u64()),
            (Some(0), Some(100))
        );
    }
}

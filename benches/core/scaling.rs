//! Frames a second of 1 to N workers on one switch, N being the cores of the machine.
//!
//! Each worker is a thread on a core of its own with a port of its own to receive from; bridge, table,
//! snapshot and way to the control side are one for all, and every worker has a handle and counters for
//! every port, as in the daemon. Frames come from memory and go nowhere. What the machine itself takes
//! from two busy cores is the first row: there every worker has a switch of its own, so nothing is shared.
//! The table of `vswitch/ARCHITECTURE.md`, "Scale on paper", is checked with this.
//!
//! Not criterion: all threads start at a barrier and count frames for a fixed time. Rounds go over all
//! rows and numbers of workers in turn, a ratio is taken within its round, and medians are printed. Cores
//! without a worker spin meanwhile: their clock is as in the rounds with more workers, and nobody else's
//! work on them fills the caches. A round in which a worker did not have its core nearly all the time is
//! measured again a few times. Zero allocations while frames flow is asserted, and so is that every
//! frame left by one port.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant as Clock};
use vswitch_base::{BridgeIndex, EtherType, Generation, Instant, MacAddr, PortIndex, Vid};
use vswitch_benches::{Sink, allocations, is_smoke, is_wanted};
use vswitch_core::counters::{PortCounters, PortTotals};
use vswitch_core::fdb::{EntryKind, Fdb, FdbStats, Source};
use vswitch_core::frame::{BATCH_MAX, Frame, FrameBatch};
use vswitch_core::mailbox::{MailboxTx, WorkerCommand, mailbox};
use vswitch_core::port::{PortRx, ReadyFds};
use vswitch_core::queue::{QueueId, RxQueue};
use vswitch_core::snapshot::{BridgeSpec, PortView, SnapshotBuilder};
use vswitch_core::testing::{frame, station, vid};
use vswitch_core::worker::{Outbox, Worker};

const BR: BridgeIndex = BridgeIndex(0);
/// Destinations in the table.
const ADDRESSES: u32 = 65_536;
/// Frames that a port repeats.
const POOL: u32 = 65_536;
/// 64 bytes with the check sequence, which no port hands over.
const LEN: usize = 60;
/// Ports of each worker: two that it may receive from, one behind which destinations are.
const PORTS: u16 = 3;
/// Stations that roam.
const ROAMING: u32 = 4096;
/// A round counts when every worker had its core for that share of the time.
const UNDISTURBED: f64 = 0.97;
const TRIES: u32 = 8;

/// Whose addresses a worker sends to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    /// A part of the table that no other worker asks for, of one size whatever the number of workers.
    Own,
    /// All of the table.
    All,
}

/// Who the frames are from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// One known sender for each worker.
    Known,
    /// The same, but for so many frames of each batch, whose sender is new.
    New(usize),
    /// Stations that turn up at all ports of all workers in turn: every frame is a move.
    Roaming,
}

/// A row of the table.
struct Work {
    name: &'static str,
    to: To,
    from: From,
    /// A switch for each worker instead of one for all.
    apart: bool,
    /// So many times faster than a clock the seconds go by in which addresses are marked as used.
    haste: u64,
}

const fn work(name: &'static str, to: To, from: From) -> Work {
    Work {
        name,
        to,
        from,
        apart: false,
        haste: 1,
    }
}

const WORKS: &[Work] = &[
    Work {
        apart: true,
        ..work("nothing shared, a switch each", To::Own, From::Known)
    },
    work("known unicast, own addresses", To::Own, From::Known),
    work("known unicast, same addresses", To::All, From::Known),
    Work {
        haste: 100,
        ..work("the same, marked 100 x a second", To::All, From::Known)
    },
    work("a new sender in each batch", To::All, From::New(1)),
    work("every sender new", To::All, From::New(BATCH_MAX)),
    work("every sender has moved", To::All, From::Roaming),
];

/// Lends the next batch of the pool, for ever.
#[derive(Debug)]
struct Wire {
    pool: Vec<u8>,
    at: usize,
    /// Frames of each batch that get a sender nobody saw lately, and its number.
    new: usize,
    next_new: u32,
}

impl PortRx for Wire {
    fn receive<'a>(&'a mut self, batch: &mut FrameBatch<'a>) -> io::Result<()> {
        let from = self.at;
        self.at = (from + BATCH_MAX * LEN) % self.pool.len();
        let frames = &mut self.pool[from..from + BATCH_MAX * LEN];
        for frame in frames.chunks_exact_mut(LEN).take(self.new) {
            frame[6..12].copy_from_slice(&station(self.next_new).0);
            // The top seven bits say which worker: 32 million senders until the first comes again.
            self.next_new = self.next_new & !0x1ff_ffff | (self.next_new + 1) & 0x1ff_ffff;
        }
        let frames: &'a [u8] = frames;
        batch.extend(frames.chunks_exact(LEN).map(Frame::new));
        Ok(())
    }

    fn release(&mut self) {}

    fn ready_fds(&self) -> ReadyFds {
        [None; 2]
    }
}

/// Port number `which` of a worker.
fn port_of(worker: usize, which: u16) -> PortIndex {
    PortIndex(u16::try_from(worker).unwrap_or(u16::MAX / PORTS) * PORTS + which)
}

/// A switch with its workers and all that they share.
struct Switch {
    workers: Vec<Worker>,
    fdb: Arc<Fdb>,
    counters: Vec<Arc<PortCounters>>,
}

impl Switch {
    /// A switch with `count` workers.
    fn new(work: &Work, count: usize) -> Self {
        let outbox = Arc::<Outbox>::default();
        let (mailboxes, workers): (Vec<MailboxTx>, Vec<Worker>) = (0..count)
            .map(|_| {
                let (tx, rx) = mailbox();
                (tx, Worker::new(rx, Arc::clone(&outbox)))
            })
            .unzip();
        let fdb = Arc::new(Fdb::new(ADDRESSES + 256, 7));
        teach(work, count, &fdb);
        let mut builder = SnapshotBuilder::new(Generation(1));
        let mut all_counters = Vec::new();
        for worker in 0..count {
            for port in (0..PORTS).map(|which| port_of(worker, which)) {
                builder.port(port, PortView::access(port, BR, vid(10)));
                let counters: Vec<Arc<PortCounters>> = (0..count).map(|_| Arc::default()).collect();
                for (mailbox, counters) in mailboxes.iter().zip(&counters) {
                    mailbox.post(WorkerCommand::SetTx {
                        port,
                        tx: Some(Box::new(Sink::default())),
                        counters: Arc::clone(counters),
                    });
                }
                all_counters.extend(counters);
            }
        }
        builder.bridge(
            BR,
            BridgeSpec {
                vlan_filtering: true,
                learning: true,
                mac: station(u32::MAX),
                fdb: Arc::clone(&fdb),
            },
        );
        let snapshot = Arc::new(builder.build());
        for (number, mailbox) in mailboxes.iter().enumerate() {
            mailbox.post(WorkerCommand::Publish(Arc::clone(&snapshot)));
            for which in 0..if work.from == From::Roaming { 2 } else { 1 } {
                let id = QueueId {
                    port: port_of(number, which),
                    number: 0,
                };
                let queue = RxQueue::new(id, Box::new(wire(work, number)));
                mailbox.post(WorkerCommand::AddQueue(queue));
            }
        }
        Self {
            workers,
            fdb,
            counters: all_counters,
        }
    }

    /// Every frame that came in left by one port.
    fn assert_forwarded(&self, work: &Work) {
        let mut sum = PortTotals::default();
        self.counters
            .iter()
            .for_each(|counters| counters.add_to(&mut sum));
        assert!(sum.is_conserved(), "{}: {sum:?}", work.name);
        let [frames, copies] = [sum.frames_in, sum.frames_out];
        assert_eq!(frames, copies, "{}: one copy of each frame", work.name);
    }
}

/// The destinations, spread over the workers' third ports, and each worker's own sender. Where senders
/// are learned all the time the destinations do not make room for them.
fn teach(work: &Work, workers: usize, fdb: &Fdb) {
    let ten = Vid::new(10).ok();
    for number in 0..ADDRESSES {
        let port = port_of(number as usize % workers, 2);
        if work.from == From::Known {
            learn(fdb, number, port);
        } else {
            fdb.pin(ten, station(number), port, EntryKind::Static)
                .expect("a table with room");
        }
    }
    for worker in 0..workers {
        learn(fdb, sender(worker), port_of(worker, 0));
    }
}

fn learn(fdb: &Fdb, number: u32, port: PortIndex) {
    let source = Source {
        port,
        epoch: 0,
        mac_limit: u32::MAX,
    };
    fdb.learn(Vid::new(10).ok(), station(number), source, 1, |_, _| true);
}

/// The number of a worker's own sender.
fn sender(worker: usize) -> u32 {
    ADDRESSES + u32::try_from(worker).unwrap_or(0)
}

/// What worker `number` receives.
fn wire(work: &Work, number: usize) -> Wire {
    let me = u32::try_from(number).unwrap_or(0);
    let parts = u32::try_from(cores().len()).unwrap_or(1);
    let mut random = 1 + me;
    let mut pool = Vec::with_capacity(POOL as usize * LEN);
    for n in 0..POOL {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let to = match work.to {
            To::All => (random >> 8) % ADDRESSES,
            To::Own => (random >> 8) % (ADDRESSES / parts) * parts + me,
        };
        let from = match work.from {
            From::Roaming => station(0x4000_0000 + n % ROAMING),
            From::Known | From::New(_) => station(sender(number)),
        };
        pool.extend_from_slice(&bytes(station(to), from));
    }
    let new = if let From::New(new) = work.from {
        new
    } else {
        0
    };
    Wire {
        pool,
        at: 0,
        new,
        next_new: 0x8000_0000 | me << 25,
    }
}

fn bytes(dst: MacAddr, src: MacAddr) -> Vec<u8> {
    frame(dst, src, &[], EtherType(0x88b5), LEN)
}

/// What one round showed.
#[derive(Clone, Copy, Default)]
struct Round {
    /// Frames a second of all workers.
    rate: f64,
    /// The least share of its core that a worker had.
    had_core: f64,
    /// Senders learned or moved, and given up because another worker was writing, for each frame.
    learned: f64,
    busy: f64,
}

/// One thread's part of a round.
struct Part {
    /// Those to warm up as well.
    frames: u64,
    rate: f64,
    had_core: f64,
    allocated: u64,
}

/// Runs all workers at once for that long; worker 0 on core number `shift`, and so on round.
fn round(
    work: &Work,
    switches: &mut [Switch],
    cores: &[usize],
    shift: usize,
    time: Duration,
) -> Round {
    let before: Vec<FdbStats> = switches.iter().map(|s| s.fdb.stats()).collect();
    let workers: Vec<&mut Worker> = switches.iter_mut().flat_map(|s| &mut s.workers).collect();
    let count = workers.len();
    let (start, end) = (Barrier::new(count), Barrier::new(count));
    let over = AtomicBool::new(false);
    let parts: Vec<Part> = std::thread::scope(|scope| {
        for number in count..cores.len() {
            let (core, over) = (cores[(number + shift) % cores.len()], &over);
            scope.spawn(move || {
                pin(core);
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let threads: Vec<_> = workers
            .into_iter()
            .enumerate()
            .map(|(number, worker)| {
                let core = cores[(number + shift) % cores.len()];
                let (start, end) = (&start, &end);
                scope.spawn(move || breathe(work, worker, core, start, end, time))
            })
            .collect();
        let joined: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        over.store(true, Ordering::Relaxed);
        let parts = joined.into_iter();
        parts.map(|part| part.expect("a worker's end")).collect()
    });
    for part in &parts {
        assert_eq!(part.allocated, 0, "{}: allocations", work.name);
    }
    let frames: u64 = parts.iter().map(|part| part.frames).sum();
    let grown = |number: fn(&FdbStats) -> u64| -> f64 {
        let pairs = switches.iter().zip(&before);
        let grown: u64 = pairs.map(|(s, b)| number(&s.fdb.stats()) - number(b)).sum();
        grown as f64 / frames as f64
    };
    let (learned, busy) = (grown(|s| s.learned + s.moved), grown(|s| s.busy));
    switches.iter().for_each(|s| s.assert_forwarded(work));
    Round {
        rate: parts.iter().map(|part| part.rate).sum(),
        had_core: parts.iter().map(|p| p.had_core).fold(1.0, f64::min),
        learned,
        busy,
    }
}

/// One worker for that long, after a fifth of it to warm up.
fn breathe(
    work: &Work,
    worker: &mut Worker,
    core: usize,
    start: &Barrier,
    end: &Barrier,
    time: Duration,
) -> Part {
    pin(core);
    let mut run = |time: Duration| {
        let (begun, cpu) = (Clock::now(), cpu_time());
        let mut frames = 0;
        loop {
            let gone = begun.elapsed();
            if gone >= time {
                let spent = (cpu_time() - cpu).as_secs_f64();
                return (frames, gone.as_secs_f64(), spent);
            }
            let nanos = u64::try_from(gone.as_nanos()).unwrap_or(u64::MAX);
            let now = Instant::from_nanos(2_000_000_000 + nanos * work.haste);
            frames += worker.poll(now) as u64;
        }
    };
    let (warm_up, ..) = run(time / 5);
    start.wait();
    let before = allocations();
    let (frames, seconds, spent) = run(time);
    end.wait();
    Part {
        frames: warm_up + frames,
        rate: frames as f64 / seconds,
        had_core: spent / seconds,
        allocated: allocations() - before,
    }
}

fn cpu_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(spent).unwrap_or_default()
}

/// A core that is not ours to have costs accuracy, which the share of the core shows.
fn pin(core: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    let _refused = rustix::thread::sched_setaffinity(None, &set);
}

/// Cores that this process may use.
fn cores() -> Vec<usize> {
    let set = rustix::thread::sched_getaffinity(None).unwrap_or_default();
    let all = 0..rustix::thread::CpuSet::MAX_CPU;
    all.filter(|core| set.is_set(*core)).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The rounds of one row with so many workers.
struct Cell {
    work: &'static Work,
    workers: usize,
    switches: Vec<Switch>,
    rounds: Vec<Round>,
}

impl Cell {
    fn new(work: &'static Work, workers: usize) -> Self {
        let switches = if work.apart {
            (0..workers).map(|_| Switch::new(work, 1)).collect()
        } else {
            vec![Switch::new(work, workers)]
        };
        Self {
            work,
            workers,
            switches,
            rounds: Vec::new(),
        }
    }

    fn measure(&mut self, cores: &[usize], shift: usize, time: Duration) {
        let mut best = Round::default();
        for _ in 0..if is_smoke() { 1 } else { TRIES } {
            let round = round(self.work, &mut self.switches, cores, shift, time);
            if round.had_core > best.had_core {
                best = round;
            }
            if best.had_core >= UNDISTURBED {
                break;
            }
        }
        self.rounds.push(best);
    }

    #[expect(clippy::print_stdout, reason = "a bench reports")]
    fn print(&self, one: &[Round]) {
        let of = |pick: fn(&Round) -> f64| median(self.rounds.iter().map(pick).collect());
        let ratios: Vec<f64> = self
            .rounds
            .iter()
            .zip(one)
            .map(|(n, one)| n.rate / one.rate)
            .collect();
        let ends = ratios
            .iter()
            .fold((f64::MAX, 0.0), |(a, b): (f64, f64), x| {
                (a.min(*x), b.max(*x))
            });
        let rate = of(|r| r.rate);
        let disturbed = self
            .rounds
            .iter()
            .filter(|r| r.had_core < UNDISTURBED)
            .count();
        println!(
            "{:<34} {:>7} {:>9.2} {:>9.1} {:>6.2} ({:.2} to {:.2}) {:>8.3} {:>6.3} {:>9}",
            self.work.name,
            self.workers,
            rate / 1e6,
            self.workers as f64 / rate * 1e9,
            median(ratios.clone()),
            ends.0,
            ends.1,
            of(|r| r.learned),
            of(|r| r.busy),
            disturbed,
        );
    }
}

#[expect(clippy::print_stdout, reason = "a bench reports")]
fn main() {
    let cores = cores();
    let (rounds, time) = if is_smoke() {
        (1, Duration::from_millis(20))
    } else {
        (25, Duration::from_millis(100))
    };
    println!(
        "scaling: 64-byte frames, batches of {BATCH_MAX}, {ADDRESSES} addresses; median of {rounds} rounds of \
         {time:?}; `disturbed` rounds count, but doubt them"
    );
    println!(
        "{:<34} {:>7} {:>9} {:>9} {:>21} {:>8} {:>6} {:>9}",
        "",
        "workers",
        "Mframes/s",
        "ns/frame",
        "x one (least to most)",
        "learned",
        "busy",
        "disturbed"
    );
    for work in WORKS.iter().filter(|work| is_wanted(work.name)) {
        let mut cells: Vec<Cell> = (1..=cores.len()).map(|n| Cell::new(work, n)).collect();
        for shift in 0..rounds {
            for cell in &mut cells {
                cell.measure(&cores, shift, time);
            }
        }
        let one = cells[0].rounds.clone();
        cells.iter().for_each(|cell| cell.print(&one));
    }
}

//! ns per frame through a worker: hit, tag rewrite, flood, to and from a bond, guarded and
//! policed, with tables of several sizes.
//!
//! Frames come from memory and go nowhere, so the numbers are the four passes and nothing else. The
//! addresses asked for are spread over the whole table. Zero allocations per batch is asserted.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use vswitch_base::flow::HashPolicy;
use vswitch_base::{BridgeIndex, EtherType, Generation, Instant, MacAddr, PortIndex, Vid};
use vswitch_benches::{Sink, is_wanted, measure};
use vswitch_core::bond::{Admits, Balance, Buckets, HashKey, Hashed, Once, Rewritten, Transmit};
use vswitch_core::counters::PortCounters;
use vswitch_core::fdb::{Fdb, Source};
use vswitch_core::frame::{BATCH_MAX, Frame, FrameBatch};
use vswitch_core::mailbox::{WorkerCommand, mailbox};
use vswitch_core::police::{Limit, Policer};
use vswitch_core::port::{PortRx, ReadyFds};
use vswitch_core::protect::{Claims, Protection};
use vswitch_core::queue::{QueueId, RxQueue};
use vswitch_core::snapshot::{BridgeSpec, PortView, SnapshotBuilder};
use vswitch_core::testing::{frame, station, vid};
use vswitch_core::worker::{Outbox, Worker};

const BR: BridgeIndex = BridgeIndex(0);
/// Frames that the source repeats: enough that a table is asked all over.
const POOL: usize = 65_536;
const LEN: usize = 60;

/// Lends the next batch of the pool, for ever.
#[derive(Debug)]
struct Source64 {
    pool: Vec<u8>,
    at: usize,
}

impl PortRx for Source64 {
    fn receive<'a>(&'a mut self, batch: &mut FrameBatch<'a>) -> io::Result<()> {
        let from = self.at;
        self.at = (from + BATCH_MAX * LEN) % self.pool.len();
        batch.extend(
            self.pool[from..from + BATCH_MAX * LEN]
                .chunks_exact(LEN)
                .map(Frame::new),
        );
        Ok(())
    }

    fn release(&mut self) {}

    fn ready_fds(&self) -> ReadyFds {
        [None; 2]
    }
}

/// How frames for port 1 leave.
#[derive(Clone)]
enum Way {
    Untagged,
    Tagged,
    /// It is a bond, and ports 2 and 3 are its members.
    Bond(Box<Transmit>),
    /// Untagged, and port 0 is a member of a bond that may give back what it was sent, and lets that in.
    Guarded(Admits),
    /// Untagged, and port 0 judges what its station claims.
    Protected,
    /// Untagged, and the control side is shown what stations on port 0 report and say of their addresses.
    Overheard,
    /// Untagged, and there is a rate on the way in and on the way out, which never ends.
    Policed,
}

/// Station 0 has one Ethernet address and one IPv4 address.
fn protection() -> Protection {
    Protection {
        macs: [station(0).word()].into(),
        spoof_check: true,
        claims: Some(Claims::new(&[Ipv4Addr::new(10, 0, 0, 1).into()])),
        ..Protection::default()
    }
}

fn policer() -> Policer {
    let limit = Limit {
        rate: u64::MAX,
        burst: Limit::BURST_MAX,
    };
    let bucket = Arc::default();
    Policer { limit, bucket }
}

/// A worker with a source on port 0 and sinks on all of `ports`.
fn worker(addresses: u32, ports: u16, way: &Way, dst: impl Fn(u32) -> MacAddr) -> Worker {
    let (tx, rx) = mailbox();
    let mut worker = Worker::new(rx, Arc::<Outbox>::default());
    let fdb = Arc::new(Fdb::new(addresses + 1, 7));
    let ten = Vid::new(10).ok();
    let mut builder = SnapshotBuilder::new(Generation(1));
    for number in 0..ports {
        let port = PortIndex(number);
        let mut view = match way {
            Way::Tagged if number > 0 => PortView::trunk(port, BR, &[vid(10)]),
            _ => PortView::access(port, BR, vid(10)),
        };
        if let Way::Bond(transmit) = way {
            if number > 1 {
                view.logical = PortIndex(1);
            }
            builder.bond(PortIndex(1), Transmit::clone(transmit));
        }
        if let Way::Guarded(admits) = way
            && number == 0
        {
            let bond = PortIndex(ports);
            view.admits = admits.clone();
            let mut guarded = PortView::access(bond, BR, vid(10));
            guarded.flags.reflects = true;
            view.logical = bond;
            builder.port(bond, guarded);
            builder.bond(bond, Transmit::One(port));
        }
        match way {
            Way::Protected if number == 0 => view.protection = Some(Arc::new(protection())),
            Way::Overheard if number == 0 => {
                view.flags.tells_groups = true;
                view.flags.tells_neighbours = true;
            }
            Way::Policed if number == 0 => {
                view.protection = Some(Arc::new(Protection {
                    rate: Some(policer()),
                    ..Protection::default()
                }));
            }
            Way::Policed => view.egress_rate = Some(policer()),
            _ => {}
        }
        builder.port(port, view);
        let counters = Arc::<PortCounters>::default();
        tx.post(WorkerCommand::SetTx {
            port,
            tx: Some(Box::new(Sink::default())),
            counters,
        });
    }
    let learn = |number: u32, port: u16| {
        let source = Source {
            port: PortIndex(port),
            epoch: 0,
            mac_limit: u32::MAX,
        };
        fdb.learn(ten, station(number), source, 1, |_, _| true);
    };
    let from = if matches!(way, Way::Guarded(_)) {
        ports
    } else {
        0
    };
    learn(0, from);
    (1..=addresses).for_each(|number| learn(number, 1));
    builder.bridge(
        BR,
        BridgeSpec {
            vlan_filtering: true,
            learning: true,
            mac: station(u32::MAX),
            fdb,
        },
    );
    let mut pool = Vec::with_capacity(POOL * LEN);
    let mut random = 1u32;
    for _ in 0..POOL {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let to = dst((random >> 8) % addresses + 1);
        let mut bytes = frame(to, station(0), &[], EtherType::IPV4, LEN);
        // TCP over IPv4, from many ports.
        (bytes[14], bytes[17], bytes[23]) = (0x45, 46, 6);
        bytes[26..30].copy_from_slice(&[10, 0, 0, 1]);
        bytes[34..38].copy_from_slice(&random.to_be_bytes());
        pool.extend_from_slice(&bytes);
    }
    tx.post(WorkerCommand::Publish(Arc::new(builder.build())));
    let (port, number) = (PortIndex(0), 0);
    let rx = Box::new(Source64 { pool, at: 0 });
    let queue = RxQueue::new(QueueId { port, number }, rx);
    tx.post(WorkerCommand::AddQueue(queue));
    worker.poll(Instant::from_nanos(1_000_000_000));
    worker
}

/// The ways of a bond of ports 2 and 3.
fn bonds() -> [(&'static str, Transmit); 4] {
    let members = [PortIndex(2), PortIndex(3)];
    let hashed = |policy| {
        Transmit::Hashed(Hashed {
            key: HashKey::Flow(policy),
            seed: 0,
            buckets: Buckets::new(&members),
            moving: None,
        })
    };
    let rewritten = Transmit::Rewritten(Rewritten {
        active: members[0],
        balance: Balance::Flow(HashPolicy::Layer34),
        seed: 0,
        buckets: Buckets::new(&members),
        sources: [(members[1], station(1).word())].into(),
    });
    [
        ("hit, bond, one active", Transmit::One(members[0])),
        ("hit, bond, layer2", hashed(HashPolicy::Layer2)),
        ("hit, bond, layer3+4", hashed(HashPolicy::Layer34)),
        ("hit, bond, rewritten sources", rewritten),
    ]
}

fn main() {
    let now = Instant::from_nanos(2_000_000_000);
    let batch = u32::try_from(BATCH_MAX).unwrap_or(64);
    for (addresses, name) in [(1_000, "1 k"), (64_000, "64 k"), (1_000_000, "1 M")] {
        let run = |what: &str, ports, way: &Way, flood: bool| {
            let dst = |n| {
                if flood {
                    MacAddr::BROADCAST
                } else {
                    station(n)
                }
            };
            let what = format!("{what}, {name} addresses");
            if !is_wanted(&what) {
                return;
            }
            let mut worker = worker(addresses, ports, way, dst);
            measure(&what, batch, true, || {
                assert_eq!(worker.poll(now), BATCH_MAX);
            });
        };
        run("hit", 2, &Way::Untagged, false);
        run("hit, tag pushed", 2, &Way::Tagged, false);
        run("flood to 8 ports", 9, &Way::Untagged, true);
        run("flood to 64 ports", 65, &Way::Untagged, true);
        let guarded = Way::Guarded(Admits::Everything);
        run("hit, from a guarded bond", 2, &guarded, false);
        let once = Once::new(&Arc::default(), 0, 2).map(Admits::Once);
        let copied = Way::Guarded(once.unwrap_or_default());
        run("hit, from a broadcast bond", 2, &copied, false);
        run("hit, from a port with a guard", 2, &Way::Protected, false);
        run("hit, overheard", 2, &Way::Overheard, false);
        run("hit, guarded by rates", 2, &Way::Policed, false);
        if addresses == 1_000 {
            for (what, transmit) in bonds() {
                run(what, 4, &Way::Bond(Box::new(transmit)), false);
            }
        }
    }
}

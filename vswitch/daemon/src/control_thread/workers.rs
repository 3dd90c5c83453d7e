//! The workers' health: the watchdog's look once a second, and what `daemon info` says of each worker.

use super::ControlThread;
use crate::loop_stats::LoopReading;
use crate::watchdog::Finding;
use vswitch_api::types::{HistogramBucket, WorkerInfo, WorkerPort};
use vswitch_base::Instant;

impl ControlThread {
    /// Looks whether every worker moves, if it is time to.
    pub(super) fn watch_workers(&mut self, now: Instant) {
        let running_now = self.clock.running_now();
        if running_now < self.watchdog.due() {
            return;
        }
        let engine = self.engine.borrow();
        let progress = engine.thread_stats().map(|(_, stats)| stats.progress());
        let findings = self.watchdog.look(progress, running_now);
        drop(engine);
        let number = |worker: usize| u32::try_from(worker).unwrap_or(u32::MAX);
        for finding in findings {
            match finding {
                Finding::Stalled { worker, lasting } => {
                    self.controller.handle_stall(number(worker), lasting, now);
                }
                Finding::Recovered { worker, lasted } => {
                    self.controller.handle_recovery(number(worker), lasted, now);
                }
            }
        }
    }

    /// Every worker, by its number.
    pub(super) fn worker_infos(&self, now: Instant) -> Vec<WorkerInfo> {
        let engine = self.engine.borrow();
        let mut infos: Vec<WorkerInfo> = (0..)
            .zip(engine.thread_stats())
            .map(|(index, (cpu, stats))| {
                let LoopReading {
                    batches,
                    frames,
                    busy,
                    idle,
                    sizes,
                    times,
                    longest,
                } = stats.read(now);
                let (stalls, stalled) = self.watchdog.stalls(index);
                WorkerInfo {
                    index: u32::try_from(index).unwrap_or(u32::MAX),
                    cpu: cpu.and_then(|cpu| u32::try_from(cpu).ok()),
                    queues: 0,
                    busy_ns: busy.as_nanos(),
                    idle_ns: idle.as_nanos(),
                    batches,
                    frames,
                    batch_sizes: buckets(sizes),
                    loop_times_ns: buckets(times),
                    longest_ns: longest.map(|(took, _)| took.as_nanos()),
                    longest_at: longest
                        .map(|(_, at)| vswitch_api::time::rfc3339(self.clock.wall(at))),
                    stalls: Some(stalls),
                    stalled: Some(stalled),
                    ports: Vec::new(),
                }
            })
            .collect();
        for (port, placed) in engine.placement() {
            let Some(name) = self.controller.port_name(port) else {
                continue; // On its way out.
            };
            for (info, queues) in infos.iter_mut().zip(placed).filter(|(_, n)| *n > 0) {
                let queues = u32::try_from(queues).unwrap_or(u32::MAX);
                info.queues += queues;
                info.ports.push(WorkerPort {
                    port: name.to_owned(),
                    queues,
                });
            }
        }
        for info in &mut infos {
            info.ports.sort_by(|a, b| a.port.cmp(&b.port));
        }
        infos
    }
}

fn buckets(read: Vec<(Option<u64>, u64)>) -> Vec<HistogramBucket> {
    let bucket = |(up_to, count)| HistogramBucket { up_to, count };
    read.into_iter().map(bucket).collect()
}

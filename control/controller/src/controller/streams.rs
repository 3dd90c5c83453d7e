//! Answers on their way out: single replies, lists in pages, and the streams of those who watch.
//!
//! The controller never waits for a client, and no client makes it grow. Pages and what was there
//! already are rendered one reply at a time, as they are polled; a stream whose client does not keep up
//! ([`Controller::handle_backlog`]) gets nothing more until it does. What happens meanwhile is kept up to
//! [`PENDING_MAX`]; beyond that a watcher of events begins anew with the state, and a watcher of
//! addresses hears how many changes it missed.

use super::{Controller, Reply, RequestId};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use vswitch_api::ApiError;
use vswitch_api::types::{Event, FdbEvent, FdbOp, FdbPage, Severity, WatchReply};
use vswitch_base::{BridgeIndex, Instant};
use vswitch_core::fdb::Entry;

/// Entries of one page.
pub(super) const PAGE: usize = 1000;
/// Lists that are sent in pages at the same time: each holds its entries until they are sent.
const LISTS_MAX: usize = 8;
/// Events, or changes of addresses, kept for a client that does not keep up.
const PENDING_MAX: usize = 256;

/// An address and its bridge, before it is rendered.
pub(super) type Row = (BridgeIndex, Entry);

#[derive(Debug)]
enum Work {
    /// A list in pages, then the end.
    List { rows: VecDeque<Row> },
    /// `Switch.Watch`.
    Events {
        kinds: Option<Vec<String>>,
        pending: VecDeque<Event>,
        state_due: bool,
        overflow: bool,
    },
    /// `Fdb.Watch`: what is there, then changes.
    Addresses {
        bridge: Option<String>,
        port: Option<String>,
        there: VecDeque<Row>,
        pending: VecDeque<FdbEvent>,
        lost: u64,
    },
}

impl Work {
    fn is_due(&self) -> bool {
        match self {
            Self::List { .. } => true,
            Self::Events {
                pending,
                state_due,
                overflow,
                ..
            } => *state_due || *overflow || !pending.is_empty(),
            Self::Addresses {
                there,
                pending,
                lost,
                ..
            } => !there.is_empty() || !pending.is_empty() || *lost > 0,
        }
    }
}

#[derive(Debug)]
struct Stream {
    work: Work,
    /// The client has more to read than it takes.
    full: bool,
}

/// Replies to hand out, and who watches.
#[derive(Debug, Default)]
pub(super) struct Streams {
    replies: VecDeque<(RequestId, Reply)>,
    streams: BTreeMap<RequestId, Stream>,
    /// The stream that was served last: the next one comes first.
    served: Option<RequestId>,
}

impl Streams {
    /// The last or only answer to a call.
    pub(super) fn answer(&mut self, id: RequestId, result: Result<impl Serialize, ApiError>) {
        self.replies.push_back((id, reply(result, false)));
    }

    pub(super) fn watch_events(
        &mut self,
        id: RequestId,
        kinds: Option<Vec<String>>,
        missed: Option<VecDeque<Event>>,
    ) {
        let state_due = missed.is_none();
        let pending = missed.unwrap_or_default();
        self.begin(
            id,
            Work::Events {
                kinds,
                pending,
                state_due,
                overflow: false,
            },
        );
    }

    pub(super) fn watch_addresses(
        &mut self,
        id: RequestId,
        bridge: Option<String>,
        port: Option<String>,
        there: VecDeque<Row>,
    ) {
        self.begin(
            id,
            Work::Addresses {
                bridge,
                port,
                there,
                pending: VecDeque::new(),
                lost: 0,
            },
        );
    }

    pub(super) fn list(&mut self, id: RequestId, rows: VecDeque<Row>) {
        self.begin(id, Work::List { rows });
    }

    fn begin(&mut self, id: RequestId, work: Work) {
        let holds = |work: &Work| match work {
            Work::List { .. } => true,
            Work::Addresses { there, .. } => there.len() > PAGE,
            Work::Events { .. } => false,
        };
        let busy = self
            .streams
            .values()
            .filter(|stream| holds(&stream.work))
            .count();
        if holds(&work) && busy >= LISTS_MAX {
            let message = format!("{LISTS_MAX} lists of addresses are being sent");
            let busy = ApiError::Busy {
                message,
                retry_after_ms: 500,
            };
            return self.answer(id, Err::<(), _>(busy));
        }
        self.streams.insert(id, Stream { work, full: false });
    }

    pub(super) fn hang_up(&mut self, id: RequestId) {
        self.streams.remove(&id);
        self.replies.retain(|(to, _)| *to != id);
    }

    pub(super) fn watches_addresses(&self) -> bool {
        self.streams
            .values()
            .any(|stream| matches!(stream.work, Work::Addresses { .. }))
    }

    pub(super) fn set_full(&mut self, id: RequestId, full: bool) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.full = full;
        }
    }

    pub(super) fn offer_event(&mut self, event: &Event) {
        for stream in self.streams.values_mut() {
            let Work::Events {
                kinds,
                pending,
                overflow,
                ..
            } = &mut stream.work
            else {
                continue;
            };
            let wanted = kinds
                .as_ref()
                .is_none_or(|kinds| kinds.contains(&event.kind));
            if !wanted || *overflow {
                continue;
            }
            if pending.len() >= PENDING_MAX {
                pending.clear();
                *overflow = true;
            } else {
                pending.push_back(event.clone());
            }
        }
    }

    pub(super) fn offer_address(&mut self, event: &FdbEvent) {
        let entry = event.entry.as_ref();
        for stream in self.streams.values_mut() {
            let Work::Addresses {
                bridge,
                port,
                pending,
                lost,
                ..
            } = &mut stream.work
            else {
                continue;
            };
            let at_bridge = bridge
                .as_deref()
                .is_none_or(|b| entry.is_some_and(|e| e.bridge == b));
            let at_port = port.as_deref().is_none_or(|p| {
                entry.is_some_and(|e| e.port == p) || event.from_port.as_deref() == Some(p)
            });
            if !(at_bridge && at_port) {
                continue;
            }
            // While it reads, a watcher takes what comes in one round, however much that is.
            if stream.full && pending.len() >= PENDING_MAX {
                *lost += 1;
            } else {
                pending.push_back(event.clone());
            }
        }
    }

    /// Watchers of that bridge missed changes.
    pub(super) fn lose_addresses(&mut self, at: &str, missed: u64) {
        for stream in self.streams.values_mut() {
            if let Work::Addresses { bridge, lost, .. } = &mut stream.work
                && bridge.as_deref().is_none_or(|bridge| bridge == at)
            {
                *lost += missed;
            }
        }
    }

    /// The stream whose turn it is.
    fn due(&self) -> Option<RequestId> {
        let due = |(id, stream): (&RequestId, &Stream)| {
            (!stream.full && stream.work.is_due()).then_some(*id)
        };
        let after = self.served.map_or(RequestId(0), |RequestId(id)| {
            RequestId(id.saturating_add(1))
        });
        self.streams
            .range(after..)
            .find_map(due)
            .or_else(|| self.streams.iter().find_map(due))
    }
}

fn reply(result: Result<impl Serialize, ApiError>, continues: bool) -> Reply {
    let result = result.map(|value| serde_json::to_value(value).unwrap_or_default());
    Reply { result, continues }
}

impl Controller {
    /// Whether the client of a call has more waiting to be read than the daemon cares to keep: while it
    /// has, nothing more comes for it. Replies that are handed out are then never lost.
    pub fn handle_backlog(&mut self, id: RequestId, full: bool, _now: Instant) {
        self.streams.set_full(id, full);
    }

    /// The caller has gone: a stream ends; a change that began goes on, unanswered.
    pub fn handle_hangup(&mut self, id: RequestId) {
        self.streams.hang_up(id);
    }

    pub(super) fn next_reply(&mut self, now: Instant) -> Option<(RequestId, Reply)> {
        if let Some(next) = self.streams.replies.pop_front() {
            return Some(next);
        }
        let id = self.streams.due()?;
        self.streams.served = Some(id);
        // Taken out while it is served: rendering looks at the whole controller.
        let mut stream = self.streams.streams.remove(&id)?;
        let (reply, ends) = match &mut stream.work {
            Work::List { rows } => {
                let page: Vec<Row> = rows.drain(..rows.len().min(PAGE)).collect();
                let page = FdbPage {
                    entries: self.render(page, now),
                    truncated: false,
                };
                let ends = rows.is_empty();
                (reply(Ok(page), !ends), ends)
            }
            Work::Events {
                pending,
                state_due,
                overflow,
                ..
            } => {
                let mut told = WatchReply::default();
                if std::mem::take(overflow) {
                    *state_due = true;
                    told.event = Some(self.overflow_event(now));
                } else if std::mem::take(state_due) {
                    // The state has what the events before it say.
                    pending.clear();
                    told.state = Some(self.state(None, None, now));
                } else {
                    told.event = pending.pop_front();
                }
                (reply(Ok(told), true), false)
            }
            Work::Addresses {
                there,
                pending,
                lost,
                ..
            } => {
                let time = self.wall.rfc3339(now);
                let told = if let Some(row) = there.pop_front() {
                    let entry = self.render(vec![row], now).pop();
                    FdbEvent {
                        time,
                        op: Some(FdbOp::Present),
                        entry,
                        from_port: None,
                        lost: 0,
                    }
                } else if let Some(event) = pending.pop_front() {
                    event
                } else {
                    let lost = std::mem::take(lost);
                    FdbEvent {
                        time,
                        op: None,
                        entry: None,
                        from_port: None,
                        lost,
                    }
                };
                (reply(Ok(told), true), false)
            }
        };
        if !ends {
            self.streams.streams.insert(id, stream);
        }
        Some((id, reply))
    }

    /// Only for the watcher that missed something: it has no number of its own in the log.
    fn overflow_event(&self, now: Instant) -> Event {
        Event {
            sequence: self.events.latest(),
            time: self.wall.rfc3339(now),
            kind: "overflow".to_owned(),
            object: "daemon".to_owned(),
            severity: Severity::Warning,
            message: "events were lost because this client read too slowly; the state follows"
                .to_owned(),
            detail: None,
        }
    }
}

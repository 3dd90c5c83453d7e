//! Answers on their way out: single replies, and the streams of those who watch.
//!
//! The controller never waits for a client. Replies are handed to the daemon, which bounds what it
//! keeps for each; when a stream has lost replies, the daemon says so once the client has caught up,
//! and the stream begins anew with what is true then.

use super::{Reply, RequestId};
use serde::Serialize;
use std::collections::VecDeque;
use vswitch_api::ApiError;
use vswitch_api::types::{Event, FdbEvent, WatchReply};

#[derive(Debug)]
struct EventWatcher {
    id: RequestId,
    kinds: Option<Vec<String>>,
}

#[derive(Debug)]
struct AddressWatcher {
    id: RequestId,
    bridge: Option<String>,
    port: Option<String>,
}

/// Which stream a call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StreamKind {
    Events,
    Addresses,
}

/// Replies to hand out, and who watches.
#[derive(Debug, Default)]
pub(super) struct Streams {
    replies: VecDeque<(RequestId, Reply)>,
    events: Vec<EventWatcher>,
    addresses: Vec<AddressWatcher>,
}

impl Streams {
    pub(super) fn next(&mut self) -> Option<(RequestId, Reply)> {
        self.replies.pop_front()
    }

    /// The last or only answer to a call.
    pub(super) fn answer(&mut self, id: RequestId, result: Result<impl Serialize, ApiError>) {
        self.push(id, result, false);
    }

    /// An answer after which others follow.
    pub(super) fn continue_with(&mut self, id: RequestId, value: impl Serialize) {
        self.push(id, Ok(value), true);
    }

    fn push(&mut self, id: RequestId, result: Result<impl Serialize, ApiError>, continues: bool) {
        let result = result.map(|value| serde_json::to_value(value).unwrap_or_default());
        self.replies.push_back((id, Reply { result, continues }));
    }

    pub(super) fn watch_events(&mut self, id: RequestId, kinds: Option<Vec<String>>) {
        self.events.push(EventWatcher { id, kinds });
    }

    pub(super) fn watch_addresses(
        &mut self,
        id: RequestId,
        bridge: Option<String>,
        port: Option<String>,
    ) {
        self.addresses.push(AddressWatcher { id, bridge, port });
    }

    pub(super) fn kind_of(&self, id: RequestId) -> Option<StreamKind> {
        if self.events.iter().any(|w| w.id == id) {
            Some(StreamKind::Events)
        } else if self.addresses.iter().any(|w| w.id == id) {
            Some(StreamKind::Addresses)
        } else {
            None
        }
    }

    pub(super) fn hang_up(&mut self, id: RequestId) {
        self.events.retain(|w| w.id != id);
        self.addresses.retain(|w| w.id != id);
        self.replies.retain(|(to, _)| *to != id);
    }

    pub(super) const fn watches_addresses(&self) -> bool {
        !self.addresses.is_empty()
    }

    pub(super) fn offer_event(&mut self, event: &Event) {
        let wanted = |w: &&EventWatcher| {
            w.kinds
                .as_ref()
                .is_none_or(|kinds| kinds.contains(&event.kind))
        };
        let ids: Vec<RequestId> = self.events.iter().filter(wanted).map(|w| w.id).collect();
        for id in ids {
            self.continue_with(
                id,
                WatchReply {
                    state: None,
                    event: Some(event.clone()),
                },
            );
        }
    }

    pub(super) fn offer_address(&mut self, event: &FdbEvent) {
        let entry = event.entry.as_ref();
        let wanted = |w: &&AddressWatcher| {
            let bridge = w
                .bridge
                .as_deref()
                .is_none_or(|b| entry.is_some_and(|e| e.bridge == b));
            let port = w.port.as_deref().is_none_or(|p| {
                entry.is_some_and(|e| e.port == p) || event.from_port.as_deref() == Some(p)
            });
            bridge && port
        };
        let ids: Vec<RequestId> = self.addresses.iter().filter(wanted).map(|w| w.id).collect();
        for id in ids {
            self.continue_with(id, event);
        }
    }

    /// Watchers of that bridge missed changes.
    pub(super) fn lose_addresses(&mut self, bridge: &str, lost: u64) {
        let wanted = |w: &&AddressWatcher| w.bridge.as_deref().is_none_or(|b| b == bridge);
        let ids: Vec<RequestId> = self.addresses.iter().filter(wanted).map(|w| w.id).collect();
        for id in ids {
            let time = String::new();
            self.continue_with(
                id,
                FdbEvent {
                    time,
                    op: None,
                    entry: None,
                    from_port: None,
                    lost,
                },
            );
        }
    }
}

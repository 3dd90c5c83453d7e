//! Network devices as the kernel tells of them, and as it answers for the members of bonds.

use super::ControlThread;
use std::time::Duration;
use vswitch_base::Instant;
use vswitch_controller::LinkEvent;

impl ControlThread {
    /// Takes in what the kernel told.
    pub(super) fn take_links(&mut self, now: Instant) {
        loop {
            match self.links.poll_event() {
                Ok(Some(event)) => {
                    if let LinkEvent::Present(link) = &event {
                        self.carriers.note_told(link.ifindex);
                    }
                    self.controller.handle_link(event, now);
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "cannot read link events");
                    return;
                }
            }
        }
    }

    /// How long until carriers are asked for; `None` where no bond has a `miimon`.
    pub(super) fn until_carriers(&self) -> Option<Duration> {
        let now = self.clock.running_now();
        let due = self.carriers.due(self.controller.link_poll()?, now);
        due.map(|at| Duration::from(at.saturating_since(now)) + Duration::from_millis(1))
    }

    /// Takes in carriers that were asked for, and asks again when it is time.
    pub(super) fn look_at_carriers(&mut self, now: Instant) {
        if self.carriers.has_answered() {
            // What the kernel told meanwhile is younger.
            self.take_links(now);
            for (ifindex, carrier) in self.carriers.take_answer() {
                self.links.take_carrier(ifindex, carrier);
            }
            self.take_links(now);
        }
        if let Some(round) = self.controller.link_poll() {
            let controller = &self.controller;
            let devices = || controller.bonded_devices();
            self.carriers.ask(devices, round, self.clock.running_now());
        }
    }
}

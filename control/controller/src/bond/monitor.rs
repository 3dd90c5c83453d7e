//! Whether members of a bond pass frames, by what comes in there: the kernel's ARP monitor (features.md 3.5.2),
//! for ARP and neighbour discovery.
//!
//! ```text
//!             nothing heard for missed_max intervals
//!      good ────────────────────────────────────────► silent
//!       ▲ ▲──────── heard within an interval ───────────┘ │ ▲
//!       │                                   nobody active │ │ not heard within
//!       └───────────── heard ── trying ◄──────────────────┘ │ an interval
//!                                  └────────────────────────┘
//! ```
//!
//! An interval is Δ: t is *fresh* within m of them as long as now ≤ t + m·Δ + Δ/2. In `active-backup` the
//! active member sends the probes; one on standby shows by our own probes, which the switch floods to it, that
//! it receives, and is given one interval more. With nobody active, one member after the other is tried. In
//! other modes every member sends and has to hear.
//!
//! Unlike the kernel's, a member that is heard again is used at once, not at the next interval, and one whose
//! link is lost is silent at once. Where any frame counts, the counters tell: they are read once in an interval,
//! and what came in it counts as if it had come at its beginning, when the probe was answered.
//!
//! Pure: links, frames and time come in; verdicts and what to probe go out.

use std::net::{IpAddr, Ipv6Addr};
use vswitch_api::config::{ArpAllTargets, ArpValidate, BondConfig, BondMode};
use vswitch_base::{Duration, Instant, MacAddr, PortIndex, Vid};
use vswitch_core::watch::{Neighbour, Speech};

const ALL_NODES: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
/// After it was tried or became active a member is not given up for so many intervals.
const GRACE: u32 = 2;

/// The rules of one bond.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Δ, not zero.
    pub interval: Duration,
    /// Intervals without a sign after which a member is given up.
    pub missed_max: u32,
    /// What is a sign.
    pub validate: ArpValidate,
    /// Whether every target has to give one, where they are validated.
    pub all_targets: bool,
    /// Whether one member is active and the others stand by.
    pub single: bool,
}

impl Rules {
    /// Those of a configuration; `None`: nothing is monitored.
    #[must_use]
    pub fn of(config: &BondConfig) -> Option<Self> {
        let probes = matches!(
            config.mode,
            BondMode::ActiveBackup
                | BondMode::BalanceRr
                | BondMode::BalanceXor
                | BondMode::Broadcast
        );
        (probes && config.arp_interval > 0).then(|| Self {
            interval: Duration::from_millis(config.arp_interval.into()),
            missed_max: config.arp_missed_max,
            validate: config.arp_validate,
            all_targets: config.arp_all_targets == ArpAllTargets::All,
            single: config.mode == BondMode::ActiveBackup,
        })
    }

    fn is_fresh(&self, then: Instant, intervals: u32, now: Instant) -> bool {
        let half = Duration::from_nanos(self.interval.as_nanos() / 2);
        let whole = self.interval.as_nanos().saturating_mul(intervals.into());
        now.saturating_since(then) <= Duration::from_nanos(whole.saturating_add(half.as_nanos()))
    }
}

/// A target, and as whom it is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Who is asked.
    pub target: IpAddr,
    /// Our address there; unspecified where we have none.
    pub ip: IpAddr,
    /// Where the question comes from.
    pub mac: MacAddr,
    /// The VLAN whose tag it has.
    pub tag: Option<Vid>,
}

impl Asked {
    /// Whether that is what the target says to us (RFC 826; RFC 4861, 7.2.4).
    fn is_answered_by(&self, heard: &Neighbour) -> bool {
        let answers = heard.speech == Speech::Answers;
        heard.sender == self.target
            && match self.ip {
                IpAddr::V4(ip) if ip.is_unspecified() => answers && heard.dst == self.mac,
                IpAddr::V4(_) => heard.target == self.ip,
                IpAddr::V6(_) => answers && [self.ip, ALL_NODES].contains(&heard.target),
            }
    }

    /// Whether that is our own question.
    fn is_asked_by(&self, heard: &Neighbour) -> bool {
        heard.speech == Speech::Asks
            && heard.src == self.mac
            && heard.sender == self.ip
            && heard.target == self.target
    }
}

/// What is seen of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Which.
    pub member: PortIndex,
    /// Whether its link is good.
    pub link: bool,
    /// Frames that came in by it so far.
    pub frames_in: u64,
}

/// What a member is held to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Its link was never good yet.
    New,
    /// It passes frames.
    Good,
    /// Nobody is active, and its probes are waited for.
    Trying,
    /// It does not.
    Silent,
}

#[derive(Clone, Debug)]
struct Watch {
    member: PortIndex,
    verdict: Verdict,
    link: bool,
    frames_in: u64,
    /// When it was last asked to send a probe.
    tx: Instant,
    /// When it last showed that it receives.
    rx: Instant,
    /// When each target last did.
    heard: Vec<Instant>,
    /// From when on it is given time.
    since: Instant,
    /// Why it is silent.
    why: String,
}

/// A member's verdict changed between good and silent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changed {
    /// Which.
    pub member: PortIndex,
    /// Why it is silent; `None`: it is good again.
    pub silent: Option<String>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Monitor {
    rules: Rules,
    asked: Vec<Asked>,
    watches: Vec<Watch>,
    next: Instant,
    /// When the counters were read last.
    ticked: Instant,
    active: Option<PortIndex>,
    /// The member that is tried, or was last.
    tried: Option<PortIndex>,
    /// Probes are due, once it is known who is active.
    due: bool,
    probes: Vec<(PortIndex, Asked)>,
}

impl Monitor {
    /// A monitor that has not seen any member.
    #[must_use]
    pub const fn new(rules: Rules, now: Instant) -> Self {
        Self {
            rules,
            asked: Vec::new(),
            watches: Vec::new(),
            next: now,
            ticked: now,
            active: None,
            tried: None,
            due: false,
            probes: Vec::new(),
        }
    }

    /// Other rules, from now on: what was no sign before may be all that counts, so that who is good is taken
    /// to have been heard now.
    pub fn set_rules(&mut self, rules: Rules, now: Instant) {
        if self.rules == rules {
            return;
        }
        self.rules = rules;
        self.next = self.next.min(now + rules.interval);
        let good = self.watches.iter_mut();
        for watch in good.filter(|watch| watch.verdict == Verdict::Good) {
            (watch.rx, watch.tx) = (now, now);
            watch.heard.fill(now);
        }
    }

    /// Whom it asks.
    #[must_use]
    pub fn asked(&self) -> &[Asked] {
        &self.asked
    }

    /// Whom to ask, and as whom; a target that is new is taken to have answered now.
    pub fn set_asked(&mut self, asked: Vec<Asked>, now: Instant) {
        if self.asked == asked {
            return;
        }
        let before = std::mem::replace(&mut self.asked, asked);
        for watch in &mut self.watches {
            let known = |asked: &Asked| {
                let same = |b: &Asked| (b.target, b.tag) == (asked.target, asked.tag);
                before.iter().position(same)
            };
            let heard = self.asked.iter().map(known);
            let heard = heard.map(|at| at.and_then(|at| watch.heard.get(at)).copied());
            watch.heard = heard.map(|then| then.unwrap_or(now)).collect();
        }
    }

    /// Takes in what is seen of the members, and judges them; [`Self::settle`] has to follow.
    pub fn judge(&mut self, seen: &[Seen], now: Instant) -> Vec<Changed> {
        let mut before = std::mem::take(&mut self.watches);
        let targets = self.asked.len();
        for seen in seen {
            let known = before.iter().position(|w| w.member == seen.member);
            let mut watch = known.map_or_else(
                || Watch {
                    member: seen.member,
                    verdict: Verdict::New,
                    link: false,
                    frames_in: seen.frames_in,
                    tx: now,
                    rx: now,
                    heard: vec![now; targets],
                    since: now,
                    why: String::new(),
                },
                |at| before.swap_remove(at),
            );
            watch.follow_link(seen.link, now);
            self.watches.push(watch);
        }
        let tick = self.next <= now;
        let mut changed = Vec::new();
        for at in 0..self.watches.len() {
            if tick {
                self.count(at, seen);
            }
            changed.extend(self.inspect(at, tick, now));
        }
        if tick {
            self.due = true;
            self.ticked = now;
            self.next = now + self.rules.interval;
        }
        changed
    }

    /// Where any frame is a sign, those that came in since the last interval are.
    fn count(&mut self, at: usize, seen: &[Seen]) {
        let active = self.is_active(self.watches[at].member);
        let Some(watch) = self.watches.get_mut(at) else {
            return;
        };
        let found = seen.iter().find(|seen| seen.member == watch.member);
        let frames_in = found.map_or(watch.frames_in, |seen| seen.frames_in);
        let more = std::mem::replace(&mut watch.frames_in, frames_in) != frames_in;
        let validate = self.rules.validate;
        if more && !validate.filters() && !validate.validates(active) {
            watch.rx = watch.rx.max(self.ticked);
        }
    }

    /// Whether the member has the active one's part in validation.
    fn is_active(&self, member: PortIndex) -> bool {
        let trying = self.trying().map(|watch| watch.member);
        !self.rules.single || self.active.or(trying) == Some(member)
    }

    fn trying(&self) -> Option<&Watch> {
        let mut watches = self.watches.iter();
        watches.find(|watch| watch.verdict == Verdict::Trying)
    }

    /// When the member last showed that it receives.
    fn last_rx(&self, watch: &Watch) -> Instant {
        let validated = self.rules.validate.validates(self.is_active(watch.member));
        let oldest = watch.heard.iter().min().copied();
        match oldest {
            Some(oldest) if self.rules.all_targets && validated => oldest,
            _ => watch.rx,
        }
    }

    fn inspect(&mut self, at: usize, tick: bool, now: Instant) -> Option<Changed> {
        let watch = self.watches.get(at)?;
        let (rules, rx, tx) = (self.rules, self.last_rx(watch), watch.tx);
        let verdict = match watch.verdict {
            Verdict::New => Verdict::New,
            Verdict::Trying | Verdict::Silent if !watch.link => Verdict::Silent,
            Verdict::Trying | Verdict::Silent => {
                // A link that has just come back has to show that it works now.
                let heard = rx >= watch.since && rules.is_fresh(rx, 1, now);
                match (heard, tick) {
                    (true, _) => Verdict::Good,
                    (false, true) => Verdict::Silent,
                    (false, false) => watch.verdict,
                }
            }
            Verdict::Good if !watch.link => Verdict::Silent,
            Verdict::Good if !tick => Verdict::Good,
            Verdict::Good => {
                let missed = if !rules.single {
                    Some(rules.missed_max)
                } else if rules.is_fresh(watch.since, GRACE, now) {
                    None
                } else if self.active == Some(watch.member) {
                    Some(rules.missed_max)
                } else {
                    // While nobody is active everybody is given the time to be tried.
                    let searching = self.active.is_none() && self.trying().is_some();
                    (!searching).then_some(rules.missed_max + 1)
                };
                let sends = !rules.single || self.active == Some(watch.member);
                let lost = missed.is_some_and(|missed| {
                    sends && !rules.is_fresh(tx, missed, now) || !rules.is_fresh(rx, missed, now)
                });
                if lost { Verdict::Silent } else { Verdict::Good }
            }
        };
        let why = match (watch.verdict, verdict, watch.link) {
            (Verdict::Good, Verdict::Silent, true) => self.silence(watch, now),
            (_, _, true) => String::new(),
            (_, _, false) => "its link was lost, and it has not been heard since".to_owned(),
        };
        let watch = self.watches.get_mut(at)?;
        let was = std::mem::replace(&mut watch.verdict, verdict);
        match (was, verdict) {
            (Verdict::Good, Verdict::Silent) => {
                watch.why.clone_from(&why);
                // The loss of the link is told as that.
                let told = watch.link;
                watch.since = now;
                told.then_some(Changed {
                    member: watch.member,
                    silent: Some(why),
                })
            }
            (Verdict::Silent | Verdict::Trying, Verdict::Good) => {
                watch.since = now;
                Some(Changed {
                    member: watch.member,
                    silent: None,
                })
            }
            _ => None,
        }
    }

    /// What is not heard, for operators.
    fn silence(&self, watch: &Watch, now: Instant) -> String {
        let rules = &self.rules;
        let age = now.saturating_since(self.last_rx(watch)).as_nanos();
        let intervals = (age / rules.interval.as_nanos().max(1)).max(1);
        let plural = if intervals == 1 { "" } else { "s" };
        let span = format!("for {intervals} interval{plural}");
        if !rules.validate.validates(self.is_active(watch.member)) {
            let what = if rules.validate.filters() {
                "no ARP or neighbour discovery has come in"
            } else {
                "nothing has come in"
            };
            return format!("{what} {span}");
        }
        let quiet = self.asked.iter().zip(&watch.heard);
        let quiet = quiet.filter(|(_, then)| {
            !rules.all_targets || !rules.is_fresh(**then, rules.missed_max, now)
        });
        let mut quiet: Vec<IpAddr> = quiet.map(|(asked, _)| asked.target).collect();
        quiet.dedup();
        let what = if !self.is_active(watch.member) {
            "probe seen on its way to"
        } else if quiet.iter().all(IpAddr::is_ipv4) {
            "ARP reply from"
        } else if quiet.iter().all(IpAddr::is_ipv6) {
            "neighbour advertisement from"
        } else {
            "answer from"
        };
        let names: Vec<String> = quiet.iter().take(3).map(IpAddr::to_string).collect();
        let more = match quiet.len() {
            0..=3 => String::new(),
            many => format!(" and {} more", many - 3),
        };
        format!("no {what} {}{more} {span}", names.join(", "))
    }

    /// Takes in a frame of ARP or neighbour discovery that a member received; whether anything came of it.
    pub fn hear(&mut self, member: PortIndex, heard: &Neighbour, now: Instant) -> bool {
        let active = self.is_active(member);
        let signs = if !self.rules.validate.validates(active) {
            if !self.rules.validate.filters() {
                return false;
            }
            None
        } else {
            let answered = |asked: &Asked| asked.is_answered_by(heard);
            let reflected = |asked: &Asked| asked.is_asked_by(heard);
            let which: Vec<usize> = if active {
                self.which(answered)
            } else if self.is_active_heard() {
                self.which(reflected)
            } else if self.is_search_answered(heard, now) {
                self.which(answered)
            } else {
                Vec::new()
            };
            if which.is_empty() {
                return false;
            }
            Some(which)
        };
        let Some(watch) = self.watches.iter_mut().find(|w| w.member == member) else {
            return false;
        };
        watch.rx = now;
        for at in signs.into_iter().flatten() {
            if let Some(then) = watch.heard.get_mut(at) {
                *then = now;
            }
        }
        true
    }

    fn which(&self, matches: impl Fn(&Asked) -> bool) -> Vec<usize> {
        let all = self.asked.iter().enumerate();
        all.filter(|(_, asked)| matches(asked))
            .map(|(at, _)| at)
            .collect()
    }

    /// Whether the active member was answered since it became active: our probes do get through then, and
    /// whoever on standby sees one is not only seeing itself.
    fn is_active_heard(&self) -> bool {
        let active = self.active;
        let active = self.watches.iter().find(|w| Some(w.member) == active);
        active.is_some_and(|watch| self.last_rx(watch) > watch.since)
    }

    /// An answer to the member that is tried may come in by another: the switch learns while it floods.
    fn is_search_answered(&self, heard: &Neighbour, now: Instant) -> bool {
        let tried = self
            .trying()
            .is_some_and(|w| self.rules.is_fresh(w.tx, 1, now));
        tried && heard.speech == Speech::Answers
    }

    /// Says who is active now that the members were judged; probes that are due go out by who has to send
    /// them.
    pub fn settle(&mut self, active: Option<PortIndex>, now: Instant) {
        if self.active != active {
            self.active = active;
            if let Some(watch) = self.watches.iter_mut().find(|w| Some(w.member) == active) {
                watch.since = now;
            }
        }
        if !std::mem::take(&mut self.due) {
            return;
        }
        let asking: Vec<PortIndex> = if !self.rules.single {
            let good = self.watches.iter().filter(|watch| watch.link);
            good.map(|watch| watch.member).collect()
        } else {
            active.or_else(|| self.try_next(now)).into_iter().collect()
        };
        for member in asking {
            if let Some(watch) = self.watches.iter_mut().find(|w| w.member == member) {
                watch.tx = now;
                self.probes
                    .extend(self.asked.iter().map(|asked| (member, *asked)));
            }
        }
    }

    /// The next member in turn whose link is good.
    fn try_next(&mut self, now: Instant) -> Option<PortIndex> {
        let last = self
            .watches
            .iter()
            .position(|w| Some(w.member) == self.tried);
        let count = self.watches.len();
        let turns = (1..=count).map(|step| last.map_or(step - 1, |last| (last + step) % count));
        let at = turns.into_iter().find(|at| self.watches[*at].link)?;
        let watch = self.watches.get_mut(at)?;
        (watch.verdict, watch.since) = (Verdict::Trying, now);
        self.tried = Some(watch.member);
        self.tried
    }

    /// Probes to send: by whom, and whom they ask.
    pub fn take_probes(&mut self) -> Vec<(PortIndex, Asked)> {
        std::mem::take(&mut self.probes)
    }

    /// What a member is held to be.
    #[must_use]
    pub fn verdict(&self, member: PortIndex) -> Verdict {
        let found = self.watches.iter().find(|w| w.member == member);
        found.map_or(Verdict::New, |watch| watch.verdict)
    }

    /// Whether a member whose link is good may carry frames.
    #[must_use]
    pub fn allows(&self, member: PortIndex) -> bool {
        matches!(self.verdict(member), Verdict::New | Verdict::Good)
    }

    /// Why a member may not.
    #[must_use]
    pub fn why(&self, member: PortIndex) -> Option<&str> {
        let watch = self.watches.iter().find(|w| w.member == member)?;
        let silent = matches!(watch.verdict, Verdict::Silent | Verdict::Trying);
        silent.then_some(&watch.why)
    }

    /// Whether ARP and neighbour discovery of that member has to be shown to [`Self::hear`], and then, of
    /// anybody.
    #[must_use]
    pub fn listens(&self, member: PortIndex) -> Option<bool> {
        let validate = self.rules.validate;
        let anybody = validate.filters() && !validate.validates(self.is_active(member));
        (validate != ArpValidate::None).then_some(anybody)
    }

    /// When [`Self::judge`] has to be called though nothing came.
    #[must_use]
    pub const fn poll_timeout(&self) -> Instant {
        self.next
    }
}

impl Watch {
    fn follow_link(&mut self, link: bool, now: Instant) {
        let risen = link && !self.link;
        self.link = link;
        if risen {
            self.since = now;
            if self.verdict == Verdict::New {
                (self.verdict, self.rx, self.tx) = (Verdict::Good, now, now);
                self.heard.fill(now);
            }
        }
    }
}

#[cfg(test)]
mod tests;

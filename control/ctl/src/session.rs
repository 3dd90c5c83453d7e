//! One run of the command: its options, its output, and the daemon when it is needed.
//!
//! Connects at the first call, so that commands that need no daemon run without one. Typed
//! calls over the untyped [`Link`]; `--watch` and `top` as repeated answers. One thread; blocks on
//! the socket and, between two looks, on the clock.

use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use vswitch_api::request::Method;

use crate::failure::{Exit, Failure};
use crate::link::Link;
use crate::render::{Format, Look, View, to_json, write_out};
use crate::{ClientError, World};

/// `-w` of commands that show something.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Watch {
    /// Show again and again; with JSON one object a line
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Seconds from one look to the next
    #[arg(long, default_value_t = 2, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) interval: u64,
}

/// The state of one run.
pub(crate) struct Session<'a, 'w> {
    pub(crate) world: &'a mut World<'w>,
    pub(crate) look: Look,
    pub(crate) quiet: bool,
    socket: PathBuf,
    timeout: Duration,
    link: Option<Box<dyn Link>>,
}

impl<'a, 'w> Session<'a, 'w> {
    pub(crate) fn new(
        world: &'a mut World<'w>,
        look: Look,
        quiet: bool,
        socket: PathBuf,
        timeout: Duration,
    ) -> Self {
        Self {
            world,
            look,
            quiet,
            socket,
            timeout,
            link: None,
        }
    }

    pub(crate) fn link(&mut self) -> Result<&mut dyn Link, Failure> {
        let link = match self.link.take() {
            Some(link) => link,
            None => (self.world.connect)(&self.socket, self.timeout)?,
        };
        Ok(self.link.insert(link).as_mut())
    }

    /// One call.
    pub(crate) fn call<M: Method>(&mut self, method: M) -> Result<M::Reply, Failure> {
        let reply = self.link()?.call(M::NAME, to_json(&method))?;
        decode(M::NAME, reply)
    }

    /// A call with many answers, until `each` gives `false` or the daemon ends it.
    pub(crate) fn stream<M: Method>(
        &mut self,
        method: M,
        mut each: impl FnMut(&mut Self, M::Reply) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        self.stream_raw(M::NAME, to_json(&method), |session, reply| {
            each(session, decode(M::NAME, reply)?)
        })
    }

    /// As [`Session::stream`], with answers as they are.
    pub(crate) fn stream_raw(
        &mut self,
        method: &str,
        parameters: Value,
        mut each: impl FnMut(&mut Self, Value) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        self.link()?;
        let Some(mut link) = self.link.take() else {
            return Err(Failure::new(
                Exit::Unreachable,
                "vswctl.Unreachable",
                "there is no connection",
            ));
        };
        let mut failed = None;
        let mut ended = true;
        let done = link.stream(method, parameters, &mut |reply| match each(self, reply) {
            Ok(more) => {
                ended = more;
                more
            }
            Err(failure) => {
                failed = Some(failure);
                false
            }
        });
        if let Some(failure) = failed {
            return Err(failure);
        }
        done?;
        if ended {
            self.link = Some(link); // Left by us, it may still carry answers; ended, it is free.
        }
        Ok(())
    }

    /// Prints text.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), Failure> {
        if self.quiet {
            return Ok(());
        }
        Ok(write_out(self.world.out, text)?)
    }

    /// Prints a view in the form that was asked for.
    pub(crate) fn show(&mut self, view: &View) -> Result<(), Failure> {
        let text = view.print(&self.look)?;
        self.print(&text)
    }

    /// Shows what `make` makes once, or with `-w` again and again until interrupted.
    pub(crate) fn show_watched(
        &mut self,
        watch: &Watch,
        mut make: impl FnMut(&mut Self) -> Result<View, Failure>,
    ) -> Result<(), Failure> {
        if !watch.watch {
            let view = make(self)?;
            return self.show(&view);
        }
        self.show_again(watch.interval, None, make)
    }

    /// Shows what `make` makes as often as told, or until interrupted, so many seconds apart. JSON is
    /// one object a line, unless it is shown only once.
    pub(crate) fn show_again(
        &mut self,
        interval: u64,
        times: Option<u64>,
        mut make: impl FnMut(&mut Self) -> Result<View, Failure>,
    ) -> Result<(), Failure> {
        if self.look.format == Format::Json && times != Some(1) {
            self.look.format = Format::Jsonl;
        }
        let mut first = true;
        let mut left = times.unwrap_or(u64::MAX);
        while left > 0 {
            let view = make(self)?;
            let text = view.print(&self.look)?;
            let people = matches!(self.look.format, Format::Table | Format::Wide);
            let lead = match (people, self.world.terminal, first) {
                (true, true, _) => "\u{1b}[H\u{1b}[2J", // home, clear
                (true, false, false) => "\n",
                _ => "",
            };
            self.print(&format!("{lead}{text}"))?;
            first = false;
            left -= 1;
            if left > 0 {
                std::thread::sleep(Duration::from_secs(interval));
            }
        }
        Ok(())
    }
}

fn decode<T: DeserializeOwned>(method: &str, reply: Value) -> Result<T, Failure> {
    T::deserialize(&reply).map_err(|error| {
        let detail = vswitch_api::text::excerpt(&error.to_string(), 200);
        ClientError::Protocol {
            method: method.to_owned(),
            detail,
        }
        .into()
    })
}

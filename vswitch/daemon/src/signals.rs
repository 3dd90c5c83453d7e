//! SIGTERM and SIGINT (end) and SIGHUP (read the configuration files again), for the control thread's loop.

use mio::net::UnixStream;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io::{self, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A stream that becomes readable with each signal, and which ones came.
#[derive(Debug)]
pub(crate) struct Signals {
    /// To wait on.
    pub stream: UnixStream,
    ended: Arc<AtomicBool>,
    reloaded: Arc<AtomicBool>,
}

/// What signals asked for since the last look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// To end.
    pub end: bool,
    /// To read the configuration files again.
    pub reload: bool,
}

impl Signals {
    /// Catches the signals from now on.
    ///
    /// # Errors
    /// When the system does not let us.
    pub(crate) fn catch() -> io::Result<Self> {
        let (read, write) = std::os::unix::net::UnixStream::pair()?;
        read.set_nonblocking(true)?;
        write.set_nonblocking(true)?;
        let signals = Self {
            stream: UnixStream::from_std(read),
            ended: Arc::default(),
            reloaded: Arc::default(),
        };
        for (signal, flag) in [
            (SIGTERM, &signals.ended),
            (SIGINT, &signals.ended),
            (SIGHUP, &signals.reloaded),
        ] {
            // Actions run in this order: whoever is woken by the byte finds the flag.
            signal_hook::flag::register(signal, Arc::clone(flag))?;
            signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
        }
        Ok(signals)
    }

    /// Empties the stream; what was asked for.
    pub(crate) fn take(&mut self) -> Asked {
        let mut bytes = [0; 64];
        while matches!(self.stream.read(&mut bytes), Ok(1..)) {}
        Asked {
            end: self.ended.swap(false, Ordering::Relaxed),
            reload: self.reloaded.swap(false, Ordering::Relaxed),
        }
    }
}

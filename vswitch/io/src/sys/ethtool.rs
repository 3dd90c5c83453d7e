//! The device's receive offloads and link speed, by SIOCETHTOOL.
//!
//! Three things are read or changed: generic receive offload (wanted on while a device is ours), large
//! receive offload (wanted off: what it merges cannot be cut again as it was) and the speed. Effects
//! thread only: a driver may take its time.
#![expect(
    unsafe_code,
    reason = "SIOCETHTOOL passes a pointer inside struct ifreq"
)]

use super::ifreq;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

const ETHTOOL_GSET: u32 = 0x01;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_SFLAGS: u32 = 0x26;
const ETHTOOL_GGRO: u32 = 0x2b;
const ETHTOOL_SGRO: u32 = 0x2c;
/// Large receive offload in the word of ETHTOOL_GFLAGS.
const ETH_FLAG_LRO: u32 = 1 << 15;

/// Any of the requests used here: a command word, then the longest argument of them (ETHTOOL_GSET).
#[repr(C)]
struct Request {
    command: u32,
    words: [u32; 10],
}

/// A socket to ask about devices in the network namespace of the thread that made it.
pub(crate) struct Ethtool(OwnedFd);

impl Ethtool {
    /// # Errors
    /// When no socket can be made.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::INET,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok(Self(socket))
    }

    /// # Errors
    /// `EOPNOTSUPP` when the device has no such switch.
    pub(crate) fn gro(&self, name: &str) -> io::Result<bool> {
        Ok(self.call(name, ETHTOOL_GGRO, 0)?.words[0] != 0)
    }

    /// # Errors
    /// `EOPNOTSUPP` when the device has no such switch, `EPERM` without CAP_NET_ADMIN.
    pub(crate) fn set_gro(&self, name: &str, on: bool) -> io::Result<()> {
        self.call(name, ETHTOOL_SGRO, u32::from(on)).map(drop)
    }

    /// # Errors
    /// `EOPNOTSUPP` when the device has no flags.
    pub(crate) fn lro(&self, name: &str) -> io::Result<bool> {
        Ok(self.call(name, ETHTOOL_GFLAGS, 0)?.words[0] & ETH_FLAG_LRO != 0)
    }

    /// # Errors
    /// As [`Self::set_gro`].
    pub(crate) fn set_lro(&self, name: &str, on: bool) -> io::Result<()> {
        let flags = self.call(name, ETHTOOL_GFLAGS, 0)?.words[0];
        let wanted = if on {
            flags | ETH_FLAG_LRO
        } else {
            flags & !ETH_FLAG_LRO
        };
        self.call(name, ETHTOOL_SFLAGS, wanted).map(drop)
    }

    /// Megabits per second; `None` when the device does not know or has no link.
    pub(crate) fn speed_mbps(&self, name: &str) -> Option<u32> {
        // struct ethtool_cmd: supported, advertising, then speed in the low half of the third word
        // (u16 speed, u8 duplex, u8 port) and its high half in a u16 at byte 28 of the struct.
        let words = self.call(name, ETHTOOL_GSET, 0).ok()?.words;
        let [low0, low1, _, _] = words[2].to_ne_bytes();
        let [high0, high1, _, _] = words[6].to_ne_bytes();
        let low = u32::from(u16::from_ne_bytes([low0, low1]));
        let high = u32::from(u16::from_ne_bytes([high0, high1]));
        match high << 16 | low {
            0 | 0xffff | u32::MAX => None,
            speed => Some(speed),
        }
    }

    fn call(&self, name: &str, command: u32, value: u32) -> io::Result<Request> {
        let mut words = [0; 10];
        words[0] = value;
        let mut argument = Request { command, words };
        let mut request = ifreq::request(name)?;
        request.ifr_ifru.ifru_data = std::ptr::from_mut(&mut argument).cast();
        // SAFETY: SIOCETHTOOL takes an ifreq whose ifr_data points to the command's struct; every
        // command used in this file has one of at most 44 bytes, the size of `argument`, which lives
        // and is writable throughout the call.
        unsafe { ifreq::ioctl(self.0.as_fd(), libc::SIOCETHTOOL, &mut request)? };
        Ok(argument)
    }
}

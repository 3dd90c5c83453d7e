//! Keeps the host's own stack off a port's device: an nftables chain at the device's ingress that drops
//! everything, after packet sockets took their copy (features I-08).
//!
//! One table per process and network namespace, `vswitchd-<pid>`, family netdev, with the owner flag:
//! nobody else can change it, and the kernel removes it with our socket, also after `kill -9`. Each
//! device has one chain in it, which goes with the [`IngressGuard`]. Spoken in raw nfnetlink: neither
//! `nft` nor a library is needed. Effects thread.

use crate::netlink::{self, Request, Socket, flag};
use crate::sys::netns::NetNs;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEWTABLE: u16 = SUBSYSTEM << 8;
const NEWCHAIN: u16 = SUBSYSTEM << 8 | 3;
const DELCHAIN: u16 = SUBSYSTEM << 8 | 5;

const FAMILY_NETDEV: u8 = 5;
const TABLE_OWNER: u32 = 2;
const HOOK_INGRESS: u32 = 0;
const POLICY_DROP: u32 = 0;
/// Before every chain that an operator may have there: nothing of a port's traffic is the host's.
const PRIORITY: i32 = -500;

const TABLE_NAME: u16 = 1;
const TABLE_FLAGS: u16 = 2;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUM: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const HOOK_DEVICE: u16 = 3;

/// The table of this process in one network namespace.
#[derive(Debug)]
struct Table {
    netns: u64,
    name: String,
    socket: Mutex<Socket>,
}

/// The tables in use; each lives as long as a guard in it.
static TABLES: Mutex<Vec<Weak<Table>>> = Mutex::new(Vec::new());

/// The host's stack gets no frame of a device as long as this lives.
#[derive(Debug)]
pub(crate) struct IngressGuard {
    table: Arc<Table>,
    chain: String,
}

impl IngressGuard {
    /// Drops all that arrives at the device, after packet sockets saw it.
    ///
    /// # Errors
    /// `EPROTONOSUPPORT`, `EINVAL` or `EOPNOTSUPP` on kernels without nftables or its netdev family,
    /// `EPERM` without CAP_NET_ADMIN.
    pub(crate) fn new(device: &str, ifindex: u32) -> io::Result<Self> {
        let table = table()?;
        let chain = format!("port-{ifindex}");
        {
            let mut socket = table.socket.lock().unwrap_or_else(PoisonError::into_inner);
            transact(&mut socket, &[NEWCHAIN], |request, _| {
                request
                    .string(CHAIN_TABLE, &table.name)
                    .string(CHAIN_NAME, &chain)
                    .nested(CHAIN_HOOK, |hook| {
                        hook.attribute(HOOK_NUM, &HOOK_INGRESS.to_be_bytes())
                            .attribute(HOOK_PRIORITY, &PRIORITY.to_be_bytes())
                            .string(HOOK_DEVICE, device);
                    })
                    .attribute(CHAIN_POLICY, &POLICY_DROP.to_be_bytes())
                    .string(CHAIN_TYPE, "filter");
            })?;
        }
        Ok(Self { table, chain })
    }
}

impl Drop for IngressGuard {
    fn drop(&mut self) {
        let mut socket = self
            .table
            .socket
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // The chain is gone already when its device is; and when the last guard goes, the table goes
        // with the socket in any case.
        let _gone = transact(&mut socket, &[DELCHAIN], |request, _| {
            request
                .string(CHAIN_TABLE, &self.table.name)
                .string(CHAIN_NAME, &self.chain);
        });
    }
}

/// The table of this process in the namespace of the calling thread, made on first use.
fn table() -> io::Result<Arc<Table>> {
    let netns = NetNs::current()?.id()?;
    let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    tables.retain(|table| table.strong_count() > 0);
    if let Some(table) = tables
        .iter()
        .filter_map(Weak::upgrade)
        .find(|t| t.netns == netns)
    {
        return Ok(table);
    }
    let mut socket = Socket::netfilter()?;
    let name = format!("vswitchd-{}", std::process::id());
    transact(&mut socket, &[NEWTABLE], |request, _| {
        request
            .string(TABLE_NAME, &name)
            .attribute(TABLE_FLAGS, &TABLE_OWNER.to_be_bytes());
    })?;
    let table = Arc::new(Table {
        netns,
        name,
        socket: Mutex::new(socket),
    });
    tables.push(Arc::downgrade(&table));
    Ok(table)
}

/// Sends one transaction with a message of each kind, filled by `build`, and waits for its outcome.
fn transact(
    socket: &mut Socket,
    kinds: &[u16],
    build: impl Fn(&mut Request, u16),
) -> io::Result<()> {
    // struct nfgenmsg: family, version, and the subsystem in network order for the batch's ends.
    let [high, low] = SUBSYSTEM.to_be_bytes();
    let mut request = Request::new();
    let begin = socket.next_sequence();
    request
        .message(BATCH_BEGIN, 0, begin)
        .fixed(&[0, 0, high, low]);
    let mut waiting = Vec::new();
    for &kind in kinds {
        let sequence = socket.next_sequence();
        waiting.push(sequence);
        let flags = flag::ACK | if kind == DELCHAIN { 0 } else { flag::CREATE };
        request
            .message(kind, flags, sequence)
            .fixed(&[FAMILY_NETDEV, 0, 0, 0]);
        build(&mut request, kind);
    }
    request
        .message(BATCH_END, 0, socket.next_sequence())
        .fixed(&[0, 0, high, low]);
    socket.send(&request)?;
    let mut outcome = Ok(());
    while !waiting.is_empty() {
        for message in netlink::messages(socket.receive()?) {
            if !netlink::is_acknowledgement(&message) {
                continue;
            }
            // A transaction that is refused as a whole answers the batch's first message only.
            if message.sequence == begin {
                waiting.clear();
            }
            waiting.retain(|&sequence| sequence != message.sequence);
            outcome = outcome.and_then(|()| netlink::acknowledgement(&message));
        }
    }
    outcome
}

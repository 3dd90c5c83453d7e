//! Who may call what: roles from the credentials of the process at the other end of the socket.
//!
//! Root, and the user the daemon runs as, may do everything; members of `admin_group` too; members of
//! `monitor_group` may look. Group names are looked up in the group file once, at start.

use rustix::fd::AsFd;
use std::path::Path;
use vswitch_api::{ApiError, Request, Role};

/// The process at the other end, as it was when it connected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// Its user.
    pub uid: u32,
    /// Its process, for the log.
    pub pid: i32,
    /// What it may do.
    pub role: Role,
}

/// The groups that count.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    own_uid: u32,
    admin_group: String,
    admin_gid: Option<u32>,
    monitor_gid: Option<u32>,
}

impl Access {
    /// Looks the groups up in `/etc/group`; one that is not there gives nobody a role.
    #[must_use]
    pub(crate) fn new(admin_group: &str, monitor_group: &str) -> Self {
        let file = std::fs::read_to_string(Path::new("/etc/group")).unwrap_or_default();
        Self {
            own_uid: rustix::process::geteuid().as_raw(),
            admin_group: admin_group.to_owned(),
            admin_gid: gid_of(&file, admin_group),
            monitor_gid: gid_of(&file, monitor_group),
        }
    }

    /// The group that the socket is given to: both groups may connect, so the wider one.
    #[must_use]
    pub(crate) fn socket_gid(&self) -> Option<u32> {
        self.admin_gid
    }

    /// Whether members of another group than the socket's must be able to connect.
    #[must_use]
    pub(crate) const fn has_monitors(&self) -> bool {
        self.monitor_gid.is_some()
    }

    /// Who is at the other end of `socket`.
    ///
    /// # Errors
    /// When the system does not tell.
    pub(crate) fn peer(&self, socket: impl AsFd) -> std::io::Result<Peer> {
        let credentials = rustix::net::sockopt::socket_peercred(&socket)?;
        let uid = credentials.uid.as_raw();
        // Without the list (an old kernel, more than a thousand groups) the primary group counts alone.
        let mut groups = vswitch_io::peer_groups(&socket).unwrap_or_default();
        groups.push(credentials.gid.as_raw());
        let is_in = |gid: Option<u32>| gid.is_some_and(|gid| groups.contains(&gid));
        let role = if uid == 0 || uid == self.own_uid || is_in(self.admin_gid) {
            Role::Admin
        } else if is_in(self.monitor_gid) {
            Role::Monitor
        } else {
            Role::Anyone
        };
        Ok(Peer {
            uid,
            pid: credentials.pid.as_raw_pid(),
            role,
        })
    }

    /// Whether `peer` may make `request`.
    ///
    /// # Errors
    /// `PermissionDenied`, with the group to join.
    pub(crate) fn check(&self, peer: &Peer, request: &Request) -> Result<(), ApiError> {
        if peer.role >= request.role() {
            return Ok(());
        }
        let group = &self.admin_group;
        Err(ApiError::PermissionDenied {
            message: format!("user {} may not call {}", peer.uid, request.method()),
            hint: Some(format!(
                "run it as root, or join the group: usermod -aG {group} USER"
            )),
        })
    }
}

/// The number of a group in the text of a group file.
fn gid_of(file: &str, name: &str) -> Option<u32> {
    file.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name)
            .then(|| fields.nth(1)?.parse().ok())
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_their_whole_name() {
        let file =
            "root:x:0:\nvswitch-view:x:995:bob\nvswitch:x:996:alice,bob\nbroken\nnonum:x::\n";
        assert_eq!(gid_of(file, "vswitch"), Some(996));
        assert_eq!(gid_of(file, "vswitch-view"), Some(995));
        assert_eq!(gid_of(file, "vswit"), None);
        assert_eq!(gid_of(file, "broken"), None);
        assert_eq!(gid_of(file, "nonum"), None);
    }
}

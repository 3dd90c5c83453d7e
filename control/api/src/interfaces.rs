//! The interface texts: the contract of the control socket, as it is served by introspection.
//!
//! Each text is a file under `interfaces/`, compiled in. `tests/goldens` keeps a copy of every
//! released declaration, and a test refuses to lose or retype one. Constant data.

/// Every interface with its text, in the order in which `GetInfo` lists them.
pub const TEXTS: [(&str, &str); 8] = [
    (
        "org.varlink.service",
        include_str!("../interfaces/org.varlink.service.varlink"),
    ),
    (
        "io.vswitch.Switch",
        include_str!("../interfaces/io.vswitch.Switch.varlink"),
    ),
    (
        "io.vswitch.Bond",
        include_str!("../interfaces/io.vswitch.Bond.varlink"),
    ),
    (
        "io.vswitch.Port",
        include_str!("../interfaces/io.vswitch.Port.varlink"),
    ),
    (
        "io.vswitch.Fdb",
        include_str!("../interfaces/io.vswitch.Fdb.varlink"),
    ),
    (
        "io.vswitch.Stats",
        include_str!("../interfaces/io.vswitch.Stats.varlink"),
    ),
    (
        "io.vswitch.Debug",
        include_str!("../interfaces/io.vswitch.Debug.varlink"),
    ),
    (
        "io.vswitch.Daemon",
        include_str!("../interfaces/io.vswitch.Daemon.varlink"),
    ),
];

/// The text of one interface.
pub fn text(interface: &str) -> Option<&'static str> {
    TEXTS
        .iter()
        .find(|(name, _)| *name == interface)
        .map(|(_, text)| *text)
}

#[cfg(test)]
mod grammar;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod transcripts;

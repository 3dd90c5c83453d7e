//! Steps after which the plugin can be made to die, to show that nothing is left behind.
//!
//! With `VSWITCH_CNI_FAULT` set to the name of a step the plugin kills itself (SIGKILL) right after it.
//! `vswitch-cni faults` lists the names. This ships: the promise can be tried on any machine.

/// The steps of ADD and DEL, in order.
pub(crate) const STEPS: [(&str, &str); 12] = [
    (
        "add-recorded",
        "ADD has written down what it is about to make",
    ),
    ("add-device", "the pod's interface exists, nobody has it"),
    ("add-up", "the interface is up"),
    ("add-attached", "the daemon has the port"),
    ("add-ipam", "addresses are reserved"),
    (
        "add-addressed",
        "the interface has its addresses and routes",
    ),
    ("add-guarded", "the daemon knows the addresses"),
    ("add-announced", "neighbours know, the runtime does not yet"),
    ("del-ipam", "DEL has given the addresses back"),
    ("del-detached", "the daemon has the port no more"),
    ("del-device", "the interface is gone"),
    (
        "del-record",
        "nothing is written down any more, the runtime does not know",
    ),
];

/// A step is done; the process may end here.
pub(crate) fn passed(step: &str) {
    debug_assert!(
        STEPS.iter().any(|(name, _)| *name == step),
        "{step} is listed"
    );
    if std::env::var("VSWITCH_CNI_FAULT").is_ok_and(|wanted| wanted == step) {
        let own = rustix::process::getpid();
        // Nothing to do about a failure: the process goes on, and a test sees that it did.
        let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
    }
}

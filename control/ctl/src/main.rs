//! `vswctl`: the operator's command for `vswitchd`. All of it is in the library beside; here
//! are only the process's arguments, standard streams and exit code.

use std::io::IsTerminal as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let stdout = std::io::stdout();
    let terminal = stdout.is_terminal();
    let mut out = stdout.lock();
    let mut err = std::io::stderr().lock();
    let mut world = vswctl::World {
        out: &mut out,
        err: &mut err,
        terminal,
        color_wanted: anstream::AutoStream::choice(&std::io::stdout())
            != anstream::ColorChoice::Never,
        utf8: utf8_locale(),
        connect: &vswctl::connect,
    };
    ExitCode::from(vswctl::run(std::env::args_os(), &mut world).code())
}

/// Whether the locale can show drawings; as in setlocale(3), the first of the three that is set.
fn utf8_locale() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty());
    set.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

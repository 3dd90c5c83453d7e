//! `vswitch-cni install` and `uninstall`: the plugin's file into a folder of plugins, whole at every moment.
//!
//! A copy gets a name of its own, is written to the disk and takes the place of the old one in one step, so that
//! a runtime never runs half a file. With `--as-bridge` it stands in for the reference plugin `bridge`, which is
//! kept beside it as `bridge.upstream` (interfaces.md 7).

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The plugin's name in a network configuration.
const NAME: &str = "vswitch";
/// The reference plugin that it can stand in for.
pub(crate) const BRIDGE: &str = "bridge";
/// Where the reference plugin is kept meanwhile.
pub(crate) const UPSTREAM: &str = "bridge.upstream";

/// Runs one of the two commands; what to print.
///
/// # Errors
/// What is wrong with the words, or what the file system said.
pub(crate) fn run(command: &str, words: &[OsString]) -> Result<String, String> {
    let mut dest = PathBuf::from("/opt/cni/bin");
    let mut as_bridge = false;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--dest") => {
                dest = words
                    .next()
                    .map(PathBuf::from)
                    .ok_or("--dest names no folder")?;
            }
            Some("--as-bridge") if command == "install" => as_bridge = true,
            _ => {
                let word = word.to_string_lossy();
                return Err(format!(
                    "unknown word \"{word}\"; {command} [--dest DIR] [--as-bridge]"
                ));
            }
        }
    }
    let told = |what: &str, path: &Path, error: &io::Error| {
        format!("cannot {what} {}: {error}", path.display())
    };
    if command == "install" {
        let own = std::env::current_exe().map_err(|error| format!("where am I: {error}"))?;
        place(&own, &dest.join(NAME)).map_err(|e| told("write", &dest.join(NAME), &e))?;
        let mut text = format!("installed {}\n", dest.join(NAME).display());
        if as_bridge {
            let bridge = dest.join(BRIDGE);
            stand_in(&own, &dest).map_err(|e| told("replace", &bridge, &e))?;
            text.push_str(&format!(
                "{} serves the switch's bridges; all others go to {}\n",
                bridge.display(),
                dest.join(UPSTREAM).display()
            ));
        }
        return Ok(text);
    }
    let upstream = dest.join(UPSTREAM);
    if upstream.exists() {
        let bridge = dest.join(BRIDGE);
        fs::rename(&upstream, &bridge).map_err(|e| told("put back", &bridge, &e))?;
    }
    let file = dest.join(NAME);
    match fs::remove_file(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(told("remove", &file, &error)),
        _ => Ok(format!("removed {}\n", file.display())),
    }
}

/// Keeps the reference plugin aside, unless it is already, and takes its place.
fn stand_in(own: &Path, dest: &Path) -> io::Result<()> {
    let (bridge, upstream) = (dest.join(BRIDGE), dest.join(UPSTREAM));
    if !upstream.exists() {
        if !bridge.exists() {
            let why = "there is no plugin \"bridge\" to stand in for: install as \"vswitch\" alone";
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        }
        // Both names lead to it until ours takes the first: a runtime always finds one.
        fs::hard_link(&bridge, &upstream).or_else(|_| place(&bridge, &upstream))?;
    }
    place(own, &bridge)
}

/// Copies a program; the name leads to the old file or to the whole new one.
fn place(from: &Path, to: &Path) -> io::Result<()> {
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let draft = to.with_file_name(format!(".{name}.{}", std::process::id()));
    let copied = (|| {
        fs::copy(from, &draft)?;
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o755))?;
        fs::File::open(&draft)?.sync_all()?;
        fs::rename(&draft, to)
    })();
    if copied.is_err() {
        // What was left of it; if there is nothing, all the better.
        let _ = fs::remove_file(&draft);
    }
    copied
}

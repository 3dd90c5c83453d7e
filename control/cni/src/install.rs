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
    let own = std::env::current_exe().map_err(|error| format!("where am I: {error}"))?;
    run_of(&own, command, words)
}

/// As [`run`], of the program `own`.
fn run_of(own: &Path, command: &str, words: &[OsString]) -> Result<String, String> {
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
                let known = if command == "install" {
                    "install [--dest DIR] [--as-bridge]"
                } else {
                    "uninstall [--dest DIR]"
                };
                return Err(format!("unknown word \"{word}\"; {known}"));
            }
        }
    }
    let told = |what: &str, path: &Path, error: &io::Error| {
        format!("cannot {what} {}: {error}", path.display())
    };
    if command == "install" {
        place(own, &dest.join(NAME)).map_err(|e| told("write", &dest.join(NAME), &e))?;
        let mut text = format!("installed {}\n", dest.join(NAME).display());
        if as_bridge {
            let bridge = dest.join(BRIDGE);
            stand_in(own, &dest).map_err(|e| told("replace", &bridge, &e))?;
            text.push_str(&format!(
                "{} serves the switch's bridges; all others go to {}\n",
                bridge.display(),
                dest.join(UPSTREAM).display()
            ));
        }
        return Ok(text);
    }
    let (bridge, upstream) = (dest.join(BRIDGE), dest.join(UPSTREAM));
    put_back(&bridge, &upstream).map_err(|e| told("put back", &bridge, &e))?;
    let file = dest.join(NAME);
    match fs::remove_file(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(told("remove", &file, &error)),
        _ => Ok(format!("removed {}\n", file.display())),
    }
}

/// Keeps the reference plugin aside, unless it is already, and takes its place. One that somebody installed over
/// ours meanwhile (a package's update) is the one to keep.
fn stand_in(own: &Path, dest: &Path) -> io::Result<()> {
    let (bridge, upstream) = (dest.join(BRIDGE), dest.join(UPSTREAM));
    if bridge.exists() && !is_ours(&bridge)? {
        place(&bridge, &upstream)?;
    } else if !upstream.exists() {
        let why = "there is no plugin \"bridge\" to stand in for: install as \"vswitch\" alone";
        return Err(io::Error::new(io::ErrorKind::NotFound, why));
    }
    place(own, &bridge)
}

/// The reference plugin in its own place again.
fn put_back(bridge: &Path, upstream: &Path) -> io::Result<()> {
    if !upstream.exists() {
        Ok(())
    } else if bridge.exists() && !is_ours(bridge)? {
        fs::remove_file(upstream)
    } else {
        fs::rename(upstream, bridge)
    }
}

/// Whether a program is this plugin, of whatever version: they all have their help text in them.
fn is_ours(program: &Path) -> io::Result<bool> {
    let mark = crate::HELP.lines().next().unwrap_or_default().as_bytes();
    let bytes = fs::read(program)?;
    Ok(bytes.windows(mark.len()).any(|part| part == mark))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn the_reference_plugin_comes_back_also_one_that_was_updated_meanwhile() {
        let dest = std::env::temp_dir().join(format!("vswitch-cni-install-{}", std::process::id()));
        fs::create_dir_all(&dest).expect("a folder");
        let to = dest.to_string_lossy().into_owned();
        let own = dest.with_extension("own");
        fs::write(&own, format!("code{}data", crate::HELP)).expect("a program");
        let install = || run_of(&own, "install", &words(&["--as-bridge", "--dest", &to]));
        let uninstall = || run_of(&own, "uninstall", &words(&["--dest", &to]));
        let content = |name: &str| fs::read(dest.join(name)).unwrap_or_default();
        assert!(install().expect_err("no bridge").contains("no plugin"));
        for reference in ["first", "second"] {
            fs::write(dest.join(BRIDGE), reference).expect("a plugin");
            for _ in 0..2 {
                install().expect("installed");
                assert!(is_ours(&dest.join(BRIDGE)).expect("a file"));
                assert!(is_ours(&dest.join(NAME)).expect("a file"));
                assert_eq!(content(UPSTREAM), reference.as_bytes());
            }
        }
        uninstall().expect("uninstalled");
        assert_eq!(content(BRIDGE), b"second");
        install().expect("installed");
        fs::write(dest.join(BRIDGE), "third").expect("an update");
        for _ in 0..2 {
            uninstall().expect("uninstalled");
            assert_eq!(content(BRIDGE), b"third");
        }
        let left = fs::read_dir(&dest).expect("a folder").count();
        assert_eq!(left, 1, "nothing but the reference plugin");
        assert!(run_of(&own, "uninstall", &words(&["--as-bridge"])).is_err());
        fs::remove_file(&own).expect("removed");
        fs::remove_dir_all(&dest).expect("removed");
    }
}

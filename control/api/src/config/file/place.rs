//! Where in the files each value of the configuration is.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::config::tree::UNKNOWN;

/// Bytes of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The file's number.
    pub(super) file: usize,
    /// The bytes of its text.
    pub(super) span: Range<usize>,
}

/// Key and value of every path.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(BTreeMap<String, (Mark, Mark)>);

impl Places {
    /// Writes down where a path's key and value are; the first place of a path stays.
    pub(super) fn note(&mut self, path: &str, file: usize, key: Range<usize>, value: Range<usize>) {
        if !self.0.contains_key(path) {
            let marks = (Mark { file, span: key }, Mark { file, span: value });
            self.0.insert(path.to_owned(), marks);
        }
    }

    /// The key of a path.
    pub(super) fn key(&self, path: &str) -> Option<Mark> {
        self.0.get(path).map(|(key, _)| key.clone())
    }

    /// What an error is about: the path's value, its key where the key itself is wrong, or the
    /// key of the nearest thing around it where the files do not say the path (something is
    /// missing).
    pub(super) fn of(&self, path: &str, message: &str) -> Option<Mark> {
        if let Some((key, value)) = self.0.get(path) {
            return Some(if message.starts_with(UNKNOWN) {
                key.clone()
            } else {
                value.clone()
            });
        }
        around(path).find_map(|outer| self.key(outer))
    }
}

/// The paths around a path, innermost first: `a."b.c"[0]`, `a."b.c"`, `a`.
fn around(path: &str) -> impl Iterator<Item = &str> {
    let mut cuts = Vec::new();
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in path.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '.' | '[' if !quoted => cuts.push(at),
            _ => {}
        }
    }
    cuts.into_iter().rev().map(|cut| &path[..cut])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_around_a_path_respect_quotes() {
        let list: Vec<&str> = around("host.\"br0.1\\\"00[\".vlans[2].vid").collect();
        assert_eq!(
            list,
            [
                "host.\"br0.1\\\"00[\".vlans[2]",
                "host.\"br0.1\\\"00[\".vlans",
                "host.\"br0.1\\\"00[\"",
                "host"
            ]
        );
        assert_eq!(around("x").count(), 0);
    }
}

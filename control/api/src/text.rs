//! Small text helpers for errors that an operator reads: the nearest known name, lists of
//! names, and configuration paths such as `host."mgmt-br.100".vlan`.
//!
//! Pure functions; any thread. They bound their output, so a hostile name or a thousand known
//! names cannot make an error message of a megabyte.

/// The most names that a "known: …" list prints before it says how many are left out.
pub const LISTED_NAMES_MAX: usize = 12;

/// The known name nearest to `name`, if it is near enough to be a likely typo.
///
/// Near means: one edit or swap for short names, one more for every four characters.
/// Case is ignored. Equal names are not suggested.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > 64 {
        return None; // No object has such a name; do not spend quadratic time on it.
    }
    let wanted = name.to_ascii_lowercase();
    let allowed = 1 + name.chars().count() / 4;
    known
        .into_iter()
        .filter(|candidate| *candidate != name && candidate.len() <= 64)
        .map(|candidate| {
            (
                strsim::osa_distance(&wanted, &candidate.to_ascii_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| {
            *distance <= allowed && *distance < candidate.chars().count()
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// `known: a, b, c` with a bound, or `there are none`; with a near miss in front.
///
/// This is the text of the `hint` in every "there is no …" error.
pub fn known_hint(name: &str, what: &str, known: &[&str]) -> String {
    let list = if known.is_empty() {
        format!("no {what} is configured")
    } else {
        format!("known: {}", list(known))
    };
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"? {list}"),
        None => list,
    }
}

/// The names separated by commas, cut after [`LISTED_NAMES_MAX`] with the number left out.
pub fn list(names: &[&str]) -> String {
    let shown = names
        .iter()
        .take(LISTED_NAMES_MAX)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().checked_sub(LISTED_NAMES_MAX) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}

/// A configuration path of these segments; a segment that is no bare TOML key is quoted.
///
/// ```
/// assert_eq!(vswitch_api::text::path(&["host", "br0.100", "vlan"]), "host.\"br0.100\".vlan");
/// ```
pub fn path(segments: &[&str]) -> String {
    let mut text = String::new();
    for segment in segments {
        push_segment(&mut text, segment);
    }
    text
}

/// Appends one segment to a configuration path, with its dot and its quotes where needed.
pub fn push_segment(path: &mut String, segment: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    let bare = !segment.is_empty()
        && segment
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if bare {
        path.push_str(segment);
    } else {
        path.push('"');
        path.extend(segment.chars().flat_map(char::escape_default));
        path.push('"');
    }
}

/// The text cut to `max` characters with `…` behind it, control characters escaped: for
/// showing a stranger's value inside an error message.
pub fn excerpt(text: &str, max: usize) -> String {
    let mut out: String = text
        .chars()
        .take(max)
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect();
    if text.chars().nth(max).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_name_and_a_stranger_finds_none() {
        let known = ["mgmt-br", "oob-br"];
        assert_eq!(nearest("mgmt-bro", known), Some("mgmt-br"));
        assert_eq!(nearest("OOB-BR", known), Some("oob-br"));
        assert_eq!(
            nearest("balance-oxr", ["balance-xor", "balance-tlb"]),
            Some("balance-xor")
        );
        assert_eq!(nearest("zebra", known), None);
        assert_eq!(
            nearest("x", ["y"]),
            None,
            "replacing the whole name is not a typo"
        );
        assert_eq!(nearest("mgmt-br", ["mgmt-br"]), None);
    }

    #[test]
    fn a_long_list_is_cut_with_its_rest_counted() {
        let names: Vec<String> = (0..20).map(|n| format!("p{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(list(&names).ends_with("p11 and 8 more"));
        assert_eq!(list(&["a", "b"]), "a, b");
        assert_eq!(known_hint("a", "bridge", &[]), "no bridge is configured");
    }

    #[test]
    fn an_excerpt_is_bounded_and_escapes_control_characters() {
        assert_eq!(excerpt("abc", 8), "abc");
        assert_eq!(excerpt("abcdef", 3), "abc…");
        assert_eq!(excerpt("a\u{1b}[2J", 8), "a\\u{1b}[2J");
    }
}

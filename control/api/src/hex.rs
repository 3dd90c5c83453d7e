//! Bytes as hex text: frames in trace and capture. Pure; any thread; input of a stranger gives
//! `None`, never a panic, and never more than the stated limit of memory.

/// The bytes as lower-case hex digits without separators.
pub fn encode(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let digits = bytes.iter().flat_map(|byte| {
        [
            DIGITS[usize::from(byte >> 4)],
            DIGITS[usize::from(byte & 15)],
        ]
    });
    let mut text = String::with_capacity(bytes.len() * 2);
    text.extend(digits);
    text
}

/// The bytes of a hex text; spaces, colons and line ends between bytes are skipped. `None` if
/// it is no hex, has half a byte, or more than `limit` bytes.
pub fn decode(text: &str, limit: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity((text.len() / 2).min(limit));
    let mut high: Option<u8> = None;
    for c in text.bytes() {
        let digit = match c {
            b'0'..=b'9' => c - b'0',
            b'a'..=b'f' => c - b'a' + 10,
            b'A'..=b'F' => c - b'A' + 10,
            b' ' | b':' | b'\n' | b'\r' | b'\t' if high.is_none() => continue,
            _ => return None,
        };
        match high.take() {
            None => high = Some(digit),
            Some(_) if bytes.len() == limit => return None,
            Some(high) => bytes.push(high << 4 | digit),
        }
    }
    high.is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn separators_are_skipped_and_halves_refused() {
        assert_eq!(decode("01:80 C2\n", 9), Some(vec![1, 0x80, 0xc2]));
        assert_eq!(decode("0 1", 9), None);
        assert_eq!(decode("012", 9), None);
        assert_eq!(decode("0x01", 9), None);
        assert_eq!(decode("010203", 2), None, "over the limit");
        assert_eq!(decode("0102", 2), Some(vec![1, 2]));
    }

    proptest! {
        #[test]
        fn bytes_survive(bytes: Vec<u8>) {
            prop_assert_eq!(decode(&encode(&bytes), bytes.len()), Some(bytes));
        }

        #[test]
        fn any_text_is_bounded(text in "\\PC{0,64}", limit in 0..16usize) {
            prop_assert!(decode(&text, limit).is_none_or(|bytes| bytes.len() <= limit));
        }
    }
}

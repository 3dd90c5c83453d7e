//! The Internet checksum (RFC 1071): one's complement sums of 16-bit words.
//!
//! Pure functions over slices of any content and length up to 4 GiB. Sums are numbers in host order
//! between 0 and 0xffff; 0 and 0xffff are the same value to the arithmetic. Used by [`super`] only,
//! but for [`complete_checksum`].

use super::OffloadError;

/// Completes a partial checksum in place: sums `bytes` from `start` to the end, the pseudo-header's
/// sum included that stands at `start + offset`, and puts the complement there. Offsets in bytes.
///
/// A result of 0 is written as 0xffff, its other spelling: UDP gives 0 the meaning "no checksum"
/// (RFC 768), and other protocols take either.
///
/// # Errors
/// [`OffloadError::ChecksumOutside`] when the two bytes are not inside `bytes`, which then are
/// unchanged.
pub fn complete_checksum(
    bytes: &mut [u8],
    start: usize,
    offset: usize,
) -> Result<(), OffloadError> {
    let covered = bytes
        .get_mut(start..)
        .ok_or(OffloadError::ChecksumOutside)?;
    let checksum = never_zero(!sum(covered));
    let place = covered
        .get_mut(offset..)
        .and_then(<[u8]>::first_chunk_mut)
        .ok_or(OffloadError::ChecksumOutside)?;
    *place = checksum.to_be_bytes();
    Ok(())
}

/// The other spelling of a checksum of zero.
pub(super) const fn never_zero(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

/// The sum of `bytes` as big-endian words, an odd last byte padded with a zero.
pub(super) fn sum(bytes: &[u8]) -> u16 {
    // Words of four bytes in memory order: the sum of 32-bit words folds to the sum of 16-bit ones,
    // and a byte swap of all words swaps the sum (RFC 1071 §2 B), so one at the end is enough.
    // Widening to 64 bits leaves no carry to look after and lets the compiler use vectors.
    let (words, tail) = bytes.as_chunks::<4>();
    let mut total: u64 = words
        .iter()
        .map(|w| u64::from(u32::from_ne_bytes(*w)))
        .sum();
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(tail) {
        *to = *from;
    }
    total += u64::from(u32::from_ne_bytes(last));
    u16::from_be(fold(total))
}

/// Two sums in one.
pub(super) fn add(a: u16, b: u16) -> u16 {
    fold(u64::from(a) + u64::from(b))
}

/// A pseudo-header sum over a length of `old` bytes, corrected to `new` bytes.
pub(super) fn with_length(seed: u16, old: usize, new: usize) -> u16 {
    let old = fold(old as u64);
    fold(u64::from(seed) + u64::from(!old) + new as u64)
}

/// Adds carries back in until 16 bits are left.
const fn fold(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most 0xffff after the loop"
    )]
    let folded = total as u16;
    folded
}

//! SCTP's checksum: CRC32c (RFC 9260 §6.8 and appendix A), which a virtio-net header cannot tell from an
//! Internet checksum.
//!
//! A pure function over slices of any content and length, one byte at a time: SCTP carries signalling.
//! Used by [`super`] only.

use super::OffloadError;
use super::headers::SCTP_CHECKSUM;

/// The polynomial of Castagnoli, bits reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// What each byte does to the remainder.
static TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let mut remainder = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            let odd = remainder & 1 != 0;
            remainder >>= 1;
            if odd {
                remainder ^= POLYNOMIAL;
            }
            bit += 1;
        }
        table[byte] = remainder;
        byte += 1;
    }
    table
};

/// The CRC32c of `bytes`.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        let [low, ..] = crc.to_le_bytes();
        crc >> 8 ^ TABLE[usize::from(low ^ byte)]
    })
}

/// Completes the checksum of an SCTP packet that starts at `start` and ends with `bytes`.
///
/// # Errors
/// [`OffloadError::ChecksumOutside`] when the packet ends before its checksum does; `bytes` then are
/// unchanged.
pub(super) fn complete(bytes: &mut [u8], start: usize) -> Result<(), OffloadError> {
    let packet = bytes
        .get_mut(start..)
        .filter(|packet| packet.len() >= SCTP_CHECKSUM + 4)
        .ok_or(OffloadError::ChecksumOutside)?;
    // The field counts as zeros.
    packet[SCTP_CHECKSUM..SCTP_CHECKSUM + 4].fill(0);
    let crc = crc32c(packet);
    // Least significant byte first, other than all else in a packet.
    packet[SCTP_CHECKSUM..SCTP_CHECKSUM + 4].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values_come_out() {
        // RFC 3720 B.4, and the check value that every catalogue of CRCs gives.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let counting: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&counting), 0x46dd_794e);
    }

    #[test]
    fn what_stood_in_the_field_does_not_count() {
        let mut packet = [7; 5 + 12 + 4];
        let mut other = packet;
        other[5 + 8..5 + 12].copy_from_slice(&[1, 2, 3, 4]);
        complete(&mut packet, 5).unwrap();
        complete(&mut other, 5).unwrap();
        assert_eq!(packet, other);
        assert_eq!(packet[..13], [7; 13]);
        for start in [10, 21, 22, usize::MAX] {
            assert_eq!(
                complete(&mut packet, start),
                Err(OffloadError::ChecksumOutside)
            );
        }
        assert_eq!(packet, other);
    }
}

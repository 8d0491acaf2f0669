//! TCP (RFC 9293): the one thing of it that culvert touches, the maximum segment size that two hosts agree on.

use super::{
    Ipv4Packet, Ipv6Packet,
    bytes::{be16, set_field},
    checksum, ipv4, ipv6, protocol,
};
use core::ops::Range;

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;

const SYN: u8 = 0x02;
/// Kinds of options (RFC 9293, 3.1).
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MSS: u8 = 2;

/// Lowers the MSS option of a SYN or SYN-ACK to what fits into an IP packet of `mtu` bytes with headers of 20 + 20 (IPv4) or 40 + 20
/// bytes (IPv6), as RFC 6691 counts, and mends the checksum (RFC 1624). It is never raised, nor added.
///
/// `ip` is a whole IP packet; anything else stays as it is. Options are read only where the TCP header says that there are some.
/// Returns whether the packet was changed.
#[inline]
pub fn clamp_mss(ip: &mut [u8], mtu: u16) -> bool {
    let Some((segment, headers)) = segment(ip) else { return false };
    let most = mtu.saturating_sub(headers);
    ip.get_mut(segment).is_some_and(|segment| clamp_options(segment, most))
}

/// Where the TCP segment lies, and how many bytes of headers its MSS leaves out. `None`: it is no TCP, or no beginning of a segment.
#[inline]
fn segment(ip: &[u8]) -> Option<(Range<usize>, u16)> {
    match ip.first()? >> 4 {
        4 => {
            let packet = Ipv4Packet::new_checked(ip).ok()?;
            let is_ours = packet.protocol() == protocol::TCP && packet.fragment_offset() == 0;
            is_ours.then(|| (packet.payload_range(), headers(ipv4::HEADER_LEN)))
        }
        6 => {
            let packet = Ipv6Packet::new_checked(ip).ok()?;
            let upper = packet.upper_layer().ok()?;
            let is_ours = upper.protocol == protocol::TCP && upper.fragment.is_none_or(|f| f.offset == 0);
            is_ours.then(|| (upper.offset..packet.total_len(), headers(ipv6::HEADER_LEN)))
        }
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "60 at most")]
const fn headers(ip: usize) -> u16 {
    (ip + HEADER_LEN) as u16
}

/// Lowers every MSS option of a SYN's header to `most`.
fn clamp_options(segment: &mut [u8], most: u16) -> bool {
    let Some(header) = segment.first_chunk::<HEADER_LEN>() else { return false };
    let options_end = usize::from(header[12] >> 4) * 4;
    if header[13] & SYN == 0 || options_end > segment.len() {
        return false;
    }
    let mut changed = false;
    let mut at = HEADER_LEN;
    while at < options_end {
        let rest = segment.get_mut(at..options_end).unwrap_or_default();
        let len = match *rest {
            [END, ..] => break,
            [NO_OPERATION, ..] => 1,
            // Shorter than itself, or longer than what is left: the rest cannot be read.
            [_, len, ..] if len < 2 || usize::from(len) > rest.len() => break,
            [_, len, ..] => usize::from(len),
            _ => break,
        };
        if let [MSS, 4, high, low] = rest.get_mut(..len).unwrap_or_default() {
            let old = u16::from_be_bytes([*high, *low]);
            if old > most {
                [*high, *low] = most.to_be_bytes();
                replace(segment, at + 2, old, most);
                changed = true;
            }
        }
        at += len;
    }
    changed
}

/// Mends the checksum after the word at `at` went from `old` to `new`. At an odd place its bytes stand in two words of the sum, the
/// wrong way round (RFC 1071, 2 B).
fn replace(segment: &mut [u8], at: usize, old: u16, new: u16) {
    let Some(header) = segment.first_chunk_mut::<HEADER_LEN>() else { return };
    let turned = |word: u16| if at.is_multiple_of(2) { word } else { word.swap_bytes() };
    let sum = checksum::update(be16::<16, _>(header), turned(old), turned(new));
    set_field::<16, 2, _>(header, sum.to_be_bytes());
}

#[cfg(test)]
#[path = "tcp_tests.rs"]
mod tests;

//! Values of the protocol's lines. All are strict: no sign, no blank, no other base.

use ipnet::IpNet;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;
use zeroize::Zeroizing;

/// Decodes 64 hex digits of either case; takes the same time whatever they are.
pub(super) fn key(value: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let digits: &[u8; 64] = value.try_into().ok()?;
    let mut bytes = Zeroizing::new([0; 32]);
    let mut bad = 0;
    for (byte, [high, low]) in bytes.iter_mut().zip(digits.as_chunks().0) {
        let (high, low) = (nibble(*high), nibble(*low));
        bad |= high | low;
        *byte = (high << 4) | (low & 0xf);
    }
    (bad & 0x80 == 0).then_some(bytes)
}

/// 0 to 15, or 0xff for what is no hex digit; without branches or tables.
fn nibble(digit: u8) -> u8 {
    let digit = i16::from(digit);
    // All ones where low <= digit <= high, else zero: both differences are negative only inside.
    let within = |low: i16, high: i16| ((low - 1 - digit) & (digit - high - 1)) >> 8;
    let value = -1
        + (within(b'0'.into(), b'9'.into()) & (digit - 0x2f))
        + (within(b'A'.into(), b'F'.into()) & (digit - 0x36))
        + (within(b'a'.into(), b'f'.into()) & (digit - 0x56));
    let [low, _] = value.to_le_bytes();
    low
}

/// The lower case hex digit of a nibble (0 to 15); without branches or tables.
pub(super) fn hex_digit(nibble: u8) -> u8 {
    // 9 - nibble borrows for a to f only, and the distance from '9' + 1 to 'a' is 39.
    let letter = 9_u8.wrapping_sub(nibble) >> 7;
    b'0' + nibble + letter * 39
}

/// A decimal number that fits `T`.
pub(super) fn number<T: FromStr>(value: &[u8]) -> Option<T> {
    let all_digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    str::from_utf8(value).ok().filter(|_| all_digits)?.parse().ok()
}

/// Only `true` is a boolean.
pub(super) fn truth(value: &[u8]) -> Option<()> {
    (value == b"true").then_some(())
}

/// `1.2.3.4/24` or `2001:db8::/32`, host bits cleared.
pub(super) fn prefix(value: &[u8]) -> Option<IpNet> {
    let (address, length) = str::from_utf8(value).ok()?.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let net = IpNet::new(address, number(length.as_bytes())?).ok()?;
    Some(net.trunc())
}

/// `1.2.3.4:51820` or `[2001:db8::1]:51820`; the scope of `[fe80::1%2]:51820` may also be the name of an
/// interface of the kernel, since `wg` writes it so.
pub(super) fn endpoint(value: &[u8]) -> Option<SocketAddr> {
    let text = str::from_utf8(value).ok()?;
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (address, port) = text.strip_prefix('[')?.rsplit_once("]:")?;
    let (address, scope) = address.split_once('%')?;
    let address: Ipv6Addr = address.parse().ok()?;
    let port = number(port.as_bytes())?;
    let scope = interface_index(scope)?;
    Some(SocketAddrV6::new(address, port, 0, scope).into())
}

fn interface_index(name: &str) -> Option<u32> {
    // IFNAMSIZ with its NUL; no other character would be looked up in vain.
    let plausible = (1..16).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
    if !plausible {
        return None;
    }
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None).ok()?;
    netdevice::name_to_index(socket, name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nibbles_agree_with_the_standard_library() {
        for byte in 0..=255_u8 {
            let expected = char::from(byte).to_digit(16);
            let got = nibble(byte);
            assert_eq!(expected, (got != 0xff).then_some(u32::from(got)), "{byte:#x}");
        }
        for value in 0..16 {
            assert_eq!(u32::from(value), char::from(hex_digit(value)).to_digit(16).unwrap());
            assert!(!hex_digit(value).is_ascii_uppercase());
        }
    }

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(number::<u16>(b"65535"), Some(65535));
        assert_eq!(number::<u16>(b"007"), Some(7));
        for bad in [&b""[..], b"65536", b"+1", b"-1", b" 1", b"1 ", b"0x1", b"off", b"\xff"] {
            assert_eq!(number::<u16>(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn host_bits_of_a_prefix_are_cleared() {
        assert_eq!(prefix(b"10.1.2.3/8"), Some("10.0.0.0/8".parse().unwrap()));
        assert_eq!(prefix(b"2001:db8::1/32"), Some("2001:db8::/32".parse().unwrap()));
        assert_eq!(prefix(b"0.0.0.0/0"), Some("0.0.0.0/0".parse().unwrap()));
        for bad in [&b"10.0.0.1"[..], b"10.0.0.1/33", b"::/129", b"/8", b"10.0.0/8", b"1.2.3.4/", b"::1%1/128"] {
            assert_eq!(prefix(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn endpoints_may_have_a_scope() {
        assert_eq!(endpoint(b"192.0.2.1:1"), Some("192.0.2.1:1".parse().unwrap()));
        assert_eq!(endpoint(b"[2001:db8::1]:65535"), Some("[2001:db8::1]:65535".parse().unwrap()));
        let scope = |text: &[u8]| match endpoint(text) {
            Some(SocketAddr::V6(address)) => Some(address.scope_id()),
            _ => None,
        };
        assert_eq!(scope(b"[fe80::1%7]:9"), Some(7));
        assert_eq!(scope(b"[fe80::1%lo]:9"), Some(1), "lo is the first interface of a namespace");
        for bad in [
            &b"192.0.2.1"[..],
            b"192.0.2.1:65536",
            b"example.com:1",
            b"2001:db8::1:1",
            b"[2001:db8::1]",
            b"[fe80::1%no-such-if]:9",
            b"[fe80::1%]:9",
            b"[fe80::1%lo\0]:9",
            b"[192.0.2.1]:1",
            b"192.0.2.1: 1",
        ] {
            assert_eq!(endpoint(bad), None, "{bad:?}");
        }
    }
}

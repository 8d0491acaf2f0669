//! Where a peer is: its address and port, and which of ours it talks to.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Words of the packed form.
pub(super) const WORDS: usize = 5;

/// The two ends of a tunnel's outer packets (PROTOCOL A8, roaming: replies leave from the address that the peer talked to).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// Our address that it talked to; unspecified until it has.
    pub local: Option<IpAddr>,
}

impl Endpoint {
    /// An endpoint as configured: nobody has talked yet.
    pub fn configured(remote: SocketAddr) -> Self {
        Self { remote, local: None }
    }

    /// From the v4-mapped address bytes that classify notes.
    pub fn seen(source: [u8; 16], source_port: u16, local: IpAddr) -> Self {
        Self { remote: SocketAddr::new(unmap(source), source_port), local: Some(local) }
    }

    pub(super) fn pack(endpoint: Option<&Self>) -> [u64; WORDS] {
        let Some(e) = endpoint else { return [0; WORDS] };
        let (r0, r1) = halves(map(e.remote.ip()));
        let (l0, l1) = e.local.map_or((0, 0), |l| halves(map(l)));
        let flags = 1 | u64::from(e.local.is_some()) << 1;
        [r0, r1, l0, l1, u64::from(e.remote.port()) << 16 | flags]
    }

    pub(super) fn unpack(words: &[u64; WORDS]) -> Option<Self> {
        let [r0, r1, l0, l1, rest] = *words;
        if rest & 1 == 0 {
            return None;
        }
        let port = u16::from_be_bytes([(rest >> 24 & 0xff) as u8, (rest >> 16 & 0xff) as u8]);
        let local = (rest & 2 != 0).then(|| unmap(join(l0, l1)));
        Some(Self { remote: SocketAddr::new(unmap(join(r0, r1)), port), local })
    }
}

/// An address as 16 bytes, IPv4 as v4-mapped IPv6 (RFC 4291, 2.5.5.2).
pub fn map(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(a) => a.to_ipv6_mapped().octets(),
        IpAddr::V6(a) => a.octets(),
    }
}

/// The reverse of [`map`].
pub fn unmap(bytes: [u8; 16]) -> IpAddr {
    let v6 = Ipv6Addr::from(bytes);
    v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)
}

fn halves(bytes: [u8; 16]) -> (u64, u64) {
    let [a, b, c, d, e, f, g, h, low @ ..] = bytes;
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes(low))
}

fn join(high: u64, low: u64) -> [u8; 16] {
    (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_and_back() {
        for (remote, local) in [
            ("192.0.2.1:51820", Some("203.0.113.10")),
            ("192.0.2.1:1", None),
            ("[2001:db8::1]:65535", Some("2001:db8::10")),
            ("[::1]:0", None),
        ] {
            let e = Endpoint { remote: remote.parse().unwrap(), local: local.map(|l| l.parse().unwrap()) };
            assert_eq!(Endpoint::unpack(&Endpoint::pack(Some(&e))), Some(e));
        }
        assert_eq!(Endpoint::unpack(&Endpoint::pack(None)), None);
    }
}

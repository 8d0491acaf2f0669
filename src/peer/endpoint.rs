//! Where a peer is: its address and port, and which of ours it talks to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Words of the packed form.
pub(super) const WORDS: usize = 5;

/// The two ends of a tunnel's outer packets (PROTOCOL A8, roaming: replies leave from the address and port that the peer talked to).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// Our address and port that it talked to; `None` until it has. An unspecified address: any of ours.
    pub local: Option<SocketAddr>,
}

impl Endpoint {
    /// An endpoint as configured: nobody has talked yet.
    pub fn configured(remote: SocketAddr) -> Self {
        Self { remote, local: None }
    }

    /// From the v4-mapped address bytes that classify notes.
    pub fn seen(source: [u8; 16], source_port: u16, local: SocketAddr) -> Self {
        Self { remote: SocketAddr::new(unmap(source), source_port), local: Some(local) }
    }

    /// The same without our address, which may be what is wrong when a peer is silent (PROTOCOL A7, T1 and T3). The port stays: behind
    /// a NAT the peer hears us from no other.
    pub fn without_address(&self) -> Self {
        let any = |local: SocketAddr| match local {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, local.port())),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, local.port())),
        };
        Self { remote: self.remote, local: self.local.map(any) }
    }

    /// What [`Endpoint::seen`] and then packing it gives, without the way over addresses.
    #[inline]
    pub(super) fn pack_seen(source: &[u8; 16], source_port: u16, local: SocketAddr) -> [u64; WORDS] {
        let (r0, r1) = halves(*source);
        let (l0, l1) = halves(map(local.ip()));
        [r0, r1, l0, l1, u64::from(local.port()) << 32 | u64::from(source_port) << 16 | 0b11]
    }

    pub(super) fn pack(endpoint: Option<&Self>) -> [u64; WORDS] {
        let Some(e) = endpoint else { return [0; WORDS] };
        let (r0, r1) = halves(map(e.remote.ip()));
        let (l0, l1) = e.local.map_or((0, 0), |l| halves(map(l.ip())));
        let local_port = e.local.map_or(0, |l| l.port());
        let flags = 1 | u64::from(e.local.is_some()) << 1;
        [r0, r1, l0, l1, u64::from(local_port) << 32 | u64::from(e.remote.port()) << 16 | flags]
    }

    pub(super) fn unpack(words: &[u64; WORDS]) -> Option<Self> {
        let [r0, r1, l0, l1, rest] = *words;
        if rest & 1 == 0 {
            return None;
        }
        let [_, _, l_high, l_low, r_high, r_low, ..] = rest.to_be_bytes();
        let end = |high, low, port| SocketAddr::new(unmap(join(high, low)), u16::from_be_bytes(port));
        let local = (rest & 2 != 0).then(|| end(l0, l1, [l_high, l_low]));
        Some(Self { remote: end(r0, r1, [r_high, r_low]), local })
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
    fn an_address_of_ours_is_forgotten_and_the_port_is_not() {
        for (local, left) in [("203.0.113.10:53", "0.0.0.0:53"), ("[2001:db8::1]:53", "[::]:53")] {
            let e = Endpoint { remote: "192.0.2.1:1".parse().unwrap(), local: Some(local.parse().unwrap()) };
            let forgotten = e.without_address();
            assert_eq!((forgotten.remote, forgotten.local), (e.remote, Some(left.parse().unwrap())));
        }
    }

    #[test]
    fn packed_and_back() {
        for (remote, local) in [
            ("192.0.2.1:51820", Some("203.0.113.10:53")),
            ("192.0.2.1:1", None),
            ("[2001:db8::1]:65535", Some("[2001:db8::10]:65534")),
            ("[2001:db8::1]:258", Some("0.0.0.0:772")),
            ("[::1]:0", None),
        ] {
            let e = Endpoint { remote: remote.parse().unwrap(), local: local.map(|l| l.parse().unwrap()) };
            assert_eq!(Endpoint::unpack(&Endpoint::pack(Some(&e))), Some(e));
            if let Some(local) = e.local {
                let seen = Endpoint::pack_seen(&map(e.remote.ip()), e.remote.port(), local);
                assert_eq!(seen, Endpoint::pack(Some(&e)));
            }
        }
        assert_eq!(Endpoint::unpack(&Endpoint::pack(None)), None);
    }
}

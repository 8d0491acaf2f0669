//! Outer packets of odd shapes (TESTING A18; fragments are in `fragments.rs`, tags in `vlan.rs`): parsed, or dropped by name.

use crate::client::Client;
use crate::harness::{Gateway, HOST, LAN_MAC, Options, ROUTER_MAC, WAN_MAC};
use crate::packets::{self, Ip, tag, tagged};
use crate::scenes::connected_as;
use culvert::wire::{MacAddr, checksum::Sum, protocol};

/// A message of `client` that carries `tag`, as a UDP datagram with a right checksum: header and payload.
fn datagram(client: &mut Client, tag: u32) -> Vec<u8> {
    let frame = client.data(&tagged(&client.inner(), HOST, tag, 96));
    frame[if client.at.is_ipv4() { 34 } else { 54 }..].to_vec()
}

/// An IPv4 packet with options.
fn with_options(client: &Client, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let head = Ip { tos: 0, ttl: 64, protocol: protocol::UDP };
    let mut packet = packets::ip(client.at.ip(), client.to.ip(), head, &[options, payload].concat());
    packet[0] = 0x45 + u8::try_from(options.len() / 4).unwrap();
    packet[10..12].fill(0);
    let sum = Sum::new().bytes(&packet[..20 + options.len()]).checksum();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packets::frame(WAN_MAC, ROUTER_MAC, &packet)
}

fn plain(client: &Client, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let head = Ip { tos: 0, ttl: 64, protocol };
    packets::frame(WAN_MAC, ROUTER_MAC, &packets::ip(client.at.ip(), client.to.ip(), head, payload))
}

/// The one thing that comes of a frame.
fn delivered(gw: &mut Gateway, frame: &[u8]) -> Vec<u32> {
    gw.wan(frame);
    gw.settle();
    gw.delivered().iter().map(|p| tag(p)).collect()
}

/// TESTING A18: IP options are stepped over.
#[test]
fn ipv4_options_of_every_length() {
    let (mut gw, mut client) = connected_as(&Options::default(), Client::new(1));
    for words in 0..=10_u8 {
        let options = vec![1; usize::from(words) * 4];
        let bytes = datagram(&mut client, words.into());
        let frame = with_options(&client, &options, &bytes);
        assert_eq!(delivered(&mut gw, &frame), [u32::from(words)]);
    }
    // Whatever they say: a source route, a length that lies.
    for (n, options) in (20..).zip([[131, 7, 4, 10, 0, 0, 9, 0], [7, 255, 4, 0, 0, 0, 0, 0]]) {
        let bytes = datagram(&mut client, n);
        let frame = with_options(&client, &options, &bytes);
        assert_eq!(delivered(&mut gw, &frame), [n]);
    }
    // A header that is longer than the packet, or shorter than a header.
    let bytes = datagram(&mut client, 30);
    let mut longer = plain(&client, protocol::UDP, &bytes[..20]);
    longer[14] = 0x4f;
    let mut shorter = plain(&client, protocol::UDP, &bytes);
    shorter[14] = 0x44;
    gw.silent(&[longer, shorter], "bad_ip_header");
    gw.finish();
}

/// TESTING A18: IPv6's extension headers likewise, eight of them.
#[test]
fn ipv6_extension_headers() {
    let (mut gw, mut client) = connected_as(&Options::default(), Client::v6(2));
    for count in 0..=9_u8 {
        let bytes = datagram(&mut client, count.into());
        let option =
            |n: u8| [if n + 1 == count { protocol::UDP } else { protocol::DESTINATION_OPTIONS }, 0, 1, 4, 0, 0, 0, 0];
        let headers: Vec<u8> = (0..count).flat_map(option).collect();
        let first = if count == 0 { protocol::UDP } else { protocol::DESTINATION_OPTIONS };
        let frame = plain(&client, first, &[headers, bytes].concat());
        if count <= 8 {
            assert_eq!(delivered(&mut gw, &frame), [u32::from(count)]);
        } else {
            gw.silent(&[frame], "not_for_us");
        }
    }
    // One that ends behind the packet.
    gw.silent(&[plain(&client, protocol::DESTINATION_OPTIONS, &[protocol::UDP, 9, 0, 0, 0, 0, 0, 0])], "not_for_us");
    // An "atomic" fragment is none (RFC 6946).
    let bytes = datagram(&mut client, 50);
    let frame = plain(&client, protocol::FRAGMENT, &[&[protocol::UDP, 0, 0, 0, 1, 2, 3, 4], &bytes[..]].concat());
    assert_eq!(delivered(&mut gw, &frame), [50]);
    gw.finish();
}

/// TESTING A18: of a UDP length and an IP length that differ, the shorter datagram is taken and a longer one is dropped.
#[test]
fn udp_and_ip_lengths_that_differ() {
    for client in [Client::new(1), Client::v6(2)] {
        let (mut gw, mut client) = connected_as(&Options::default(), client);
        for more in [1, 7, 30] {
            let bytes = datagram(&mut client, more);
            let junk = vec![0x77; more as usize];
            let frame = plain(&client, protocol::UDP, &[bytes, junk].concat());
            assert_eq!(delivered(&mut gw, &frame), [more]);
        }
        let bytes = datagram(&mut client, 99);
        let lies: Vec<_> = [bytes.len() + 1, 0xffff, 7, 0]
            .map(|length| {
                let mut lie = bytes.clone();
                lie[4..6].copy_from_slice(&(length as u16).to_be_bytes());
                plain(&client, protocol::UDP, &lie)
            })
            .into();
        gw.silent(&lies, "bad_udp");
        gw.silent(&(0..8).map(|len| plain(&client, protocol::UDP, &bytes[..len])).collect::<Vec<_>>(), "bad_udp");
        gw.finish();
    }
}

/// TESTING A18: no checksum is one over IPv4, and none over IPv6 (RFC 8200, 8.1); a wrong one never is.
#[test]
fn udp_checksums_that_are_zero_or_wrong() {
    for client in [Client::new(1), Client::v6(2)] {
        let (mut gw, mut client) = connected_as(&Options::default(), client);
        let is_v4 = client.at.is_ipv4();
        let bytes = datagram(&mut client, 1);
        let with = |checksum: [u8; 2]| {
            let mut bytes = bytes.clone();
            bytes[6..8].copy_from_slice(&checksum);
            plain(&client, protocol::UDP, &bytes)
        };
        let right = [bytes[6], bytes[7]];
        gw.silent(&[with([right[0] ^ 1, right[1]]), with([right[0], right[1] ^ 0x80])], "bad_udp_checksum");
        if is_v4 {
            assert_eq!(delivered(&mut gw, &with([0, 0])), [1]);
        } else {
            gw.silent(&[with([0, 0])], "bad_udp_checksum");
            assert_eq!(delivered(&mut gw, &with(right)), [1]);
        }
        gw.finish();
    }
}

/// TESTING A18: frames of 0 to 60 bytes, for us, of every EtherType that means something; and those that the port cut.
#[test]
fn runts_and_frames_that_were_cut() {
    let (mut gw, mut client) = connected_as(&Options::default(), Client::v6(2));
    let before = gw.account();
    let mut sent = 0;
    for kind in [[8, 0], [8, 6], [0x86, 0xdd], [0x81, 0], [0, 46]] {
        for fill in [0x00, 0x45, 0x60, 0xff] {
            for len in 0..=60 {
                let mut frame = [&WAN_MAC.0[..], &ROUTER_MAC.0, &kind, &[fill; 46]].concat();
                frame.truncate(len);
                gw.wan(&frame);
                sent += 1;
            }
        }
    }
    gw.settle();
    let after = gw.account();
    assert_eq!(gw.frames(), (vec![], vec![]), "not a word");
    let dropped = |a: &culvert::shared::Account| a.dropped() + a.control_dropped();
    assert_eq!((after.rx - before.rx, dropped(&after) - dropped(&before)), (sent, sent));
    // Cut by the port: shorter than the IP header says.
    let bytes = datagram(&mut client, 1);
    let whole = plain(&client, protocol::UDP, &bytes);
    gw.silent(&(14..whole.len()).map(|len| whole[..len].to_vec()).collect::<Vec<_>>(), "bad_ip_header");
    assert_eq!(delivered(&mut gw, &[&whole[..], &[0; 30]].concat()), [1], "with the link's padding");
    gw.finish();
}

/// The link's destination decides first; a forged source does not matter.
#[test]
fn addresses_of_the_link() {
    let (mut gw, mut client) = connected_as(&Options::default(), Client::new(1));
    let good = client.data(&tagged(&client.inner(), HOST, 1, 96));
    let to = |mac: MacAddr| [&mac.0, &good[6..]].concat();
    gw.silent(&[to(MacAddr::ZERO), to(LAN_MAC)], "not_our_mac");
    // An IP packet to us in a frame to all (RFC 1122, 3.3.6).
    gw.silent(&[to(MacAddr::BROADCAST), to(MacAddr([1, 0, 0x5e, 0, 0, 1]))], "multicast");
    let mut looped = good.clone();
    looped[6..12].copy_from_slice(&WAN_MAC.0);
    assert_eq!(delivered(&mut gw, &looped), [1]);
    gw.finish();
}

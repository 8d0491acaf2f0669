//! Inner IPv4 packets that are larger than what they go into, and may be cut.

use crate::client::Client;
use crate::harness::{Gateway, HOST, HOST_MAC, LAN_MAC, Options};
use crate::packets::{self, IcmpError, tagged, with_flags};
use crate::scenes::all_connected;
use culvert::frame::PacketPool;
use culvert::wire::Ipv4Packet;
use culvert::wire::arp::ArpPacket;

fn connected(options: &Options) -> (Gateway, Client, Client) {
    let (gw, mut clients) = all_connected(options, 2);
    let two = clients.remove(1);
    (gw, clients.remove(0), two)
}

/// The payload that the pieces carry together, and where it begins: each fits, in order, without hole or overlap; the last ends it
/// unless `more`.
fn joined(pieces: &[Vec<u8>], mtu: usize, more: bool) -> (Vec<u8>, usize) {
    let ips: Vec<_> = pieces.iter().map(|p| Ipv4Packet::new_checked(p).unwrap()).collect();
    let start = ips[0].fragment_offset();
    let mut payload = Vec::new();
    for (place, ip) in ips.iter().enumerate() {
        assert!(ip.verify_checksum() && ip.total_len() <= mtu);
        assert_eq!(ip.fragment_offset(), start + payload.len());
        assert_eq!(ip.more_fragments(), more || place + 1 < ips.len());
        assert_eq!((ip.identification(), ip.ttl()), (7, 63));
        payload.extend(ip.payload());
    }
    (payload, start)
}

#[test]
fn from_the_host_into_a_tunnel() {
    for mtu in [68, 576, 1280, 1420, 1499] {
        let (mut gw, one, _) = connected(&Options { mtu, ..Options::default() });
        let before = gw.account().generated;
        let packet = tagged(HOST, &one.inner(), 1, 1500);
        gw.lan(&packet);
        gw.settle();
        let pieces = gw.received_by(&one);
        let each = (usize::from(mtu) - 20) & !7;
        assert_eq!(pieces.len(), 1480_usize.div_ceil(each).max(2), "{mtu}");
        // No more than it takes: all but the last are as long as they may be.
        let (_, full) = pieces.split_last().unwrap();
        assert!(full.iter().all(|piece| Ipv4Packet::new_checked(piece).unwrap().total_len() == 20 + each), "{mtu}");
        // Padding goes to the MTU at most.
        assert!(pieces.iter().all(|piece| piece.len() <= usize::from(mtu)));
        assert_eq!(joined(&pieces, mtu.into(), false), (packet[20..].to_vec(), 0));
        // Each but one was made.
        assert_eq!(gw.account().generated - before, pieces.len() as u64 - 1);
        gw.finish();
    }
}

#[test]
fn from_client_to_client_and_out_of_the_inner_port() {
    let (mut gw, mut one, two) = connected(&Options::default());
    let packet = tagged(&one.inner(), &two.inner(), 1, 1600);
    let frame = one.data(&packet);
    gw.wan(&frame);
    gw.settle();
    assert_eq!(joined(&gw.received_by(&two), 1420, false).0, packet[20..]);
    let packet = tagged(&one.inner(), HOST, 1, 1600);
    let frame = one.data(&packet);
    gw.wan(&frame);
    gw.settle();
    let pieces = gw.delivered();
    assert_eq!(pieces.len(), 2);
    assert_eq!(joined(&pieces, 1500, false).0, packet[20..]);
    gw.finish();
}

#[test]
fn fragments_of_fragments() {
    let (mut gw, one, _) = connected(&Options { mtu: 576, ..Options::default() });
    for (word, more) in [(0x2000 | 20, true), (20, false)] {
        let packet = with_flags(tagged(HOST, &one.inner(), 1, 1500), word);
        gw.lan(&packet);
        gw.settle();
        assert_eq!(joined(&gw.received_by(&one), 576, more), (packet[20..].to_vec(), 160));
    }
    // One that says it ends behind the longest datagram.
    gw.lan(&with_flags(tagged(HOST, &one.inner(), 1, 1500), 0x1fff));
    gw.settle();
    assert_eq!((gw.dropped("bad_inner"), gw.datagrams().len()), (1, 0));
    gw.finish();
}

/// Bursts of packets whose pieces are more than a burst: the order stays.
#[test]
fn many_pieces_in_order() {
    let (mut gw, one, _) = connected(&Options { mtu: 68, ..Options::default() });
    for _ in 0..3 {
        let packets: Vec<_> = (0..30).map(|n| tagged(HOST, &one.inner(), n, 1500)).collect();
        for packet in &packets {
            gw.lan(packet);
        }
        gw.settle();
        let pieces = gw.received_by(&one);
        assert_eq!(pieces.len(), 30 * 31);
        for (some, packet) in pieces.chunks(31).zip(&packets) {
            assert_eq!(joined(some, 68, false).0, packet[20..]);
        }
    }
    gw.finish();
}

#[test]
fn pieces_wait_for_a_session() {
    let mut gw = Gateway::new();
    let mut one = Client::new(1);
    let endpoint = Some(one.at);
    gw.change_peer(culvert::control::change::PeerChange { endpoint, ..crate::harness::peer(&one) });
    let packet = tagged(HOST, &one.inner(), 1, 1500);
    gw.lan(&packet);
    gw.settle();
    assert_eq!(gw.shared.staged.held(), 2);
    let initiation = gw.datagrams().remove(0);
    let response = one.respond(&initiation.payload).unwrap();
    gw.wan(&one.frame(&response));
    gw.settle();
    assert_eq!(joined(&gw.received_by(&one), 1420, false).0, packet[20..]);
    gw.finish();
}

#[test]
fn pieces_wait_for_a_neighbour() {
    let (mut gw, mut one, _) = connected(&Options::default());
    let packet = tagged(&one.inner(), "10.0.0.77", 1, 1600);
    let frame = one.data(&packet);
    gw.wan(&frame);
    gw.settle();
    assert_eq!(gw.shared.staged.held(), 2);
    let asked = gw.frames().1.remove(0);
    let mut reply = [0; 28];
    ArpPacket::new_checked(&asked[14..]).unwrap().reply(HOST_MAC).write(&mut reply);
    let frame = gw.packet(&[&LAN_MAC.0[..], &HOST_MAC.0, &[8, 6], &reply].concat());
    gw.lan_rx[0].push(frame);
    gw.settle();
    assert_eq!(joined(&gw.delivered(), 1500, false).0, packet[20..]);
    gw.finish();
}

/// A dry pool drops what is left of the packet by name.
#[test]
fn a_dry_pool() {
    let (mut gw, one, _) = connected(&Options { mtu: 576, pool: 512, ..Options::default() });
    for left in [0, 1] {
        let frame = gw.packet(&packets::frame(LAN_MAC, HOST_MAC, &tagged(HOST, &one.inner(), 1, 1500)));
        let mut held: Vec<_> = std::iter::from_fn(|| gw.pool.alloc()).collect();
        held.truncate(held.len() - left);
        gw.lan_rx[0].push(frame);
        gw.turn(0);
        drop(held);
        gw.settle();
        assert_eq!((gw.received_by(&one).len(), gw.dropped("pool_empty")), (left, left as u64 + 1));
    }
    gw.finish();
}

/// A queue that is full takes what it can: the accounts stay exact.
#[test]
fn a_full_queue() {
    let (mut gw, one, _) = connected(&Options { mtu: 68, ..Options::workers(1) });
    for n in 0..40 {
        gw.lan(&tagged(HOST, &one.inner(), n, 1500));
    }
    while gw.turn(0) > 0 {}
    let dropped = gw.dropped("queue_full");
    assert_eq!(dropped, 40 * 31 - 1024);
    gw.settle();
    assert_eq!(gw.received_by(&one).len(), 1024);
    gw.finish();
}

/// What goes wrong with a piece is told the way that its packet came: to a client through its tunnel.
#[test]
fn an_error_about_a_piece() {
    let (mut gw, mut clients) = all_connected(&Options::default(), 1);
    let absent = Client::new(9);
    gw.add(&absent);
    let one = &mut clients[0];
    let frame = one.data(&tagged(&one.inner(), &absent.inner(), 1, 1600));
    gw.wan(&frame);
    gw.settle();
    assert!(gw.delivered().is_empty(), "it was the host's packet");
    // About the first one; of later ones nobody is told.
    let heard = IcmpError::all(&gw.received_by(one));
    assert_eq!(heard.iter().map(|e| (e.kind, e.to)).collect::<Vec<_>>(), [((3, 1), packets::addr(&one.inner()))]);
    assert_eq!(gw.dropped("no_endpoint"), 2);
    gw.finish();
}

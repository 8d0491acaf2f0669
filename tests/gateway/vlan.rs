//! Ports in a VLAN: tagged outside, untagged inside (TESTING A18, the VLAN part).

use crate::client::Client;
use crate::harness::{Gateway, HOST, HOST_MAC, LAN_MAC, Options, ROUTER_MAC, Role, WAN_MAC, peer};
use crate::packets::{self, Datagram, tag, tagged};
use culvert::control::change::PeerChange;
use culvert::frame::{Meta, Packet};
use culvert::wire::arp::{self, ArpPacket};
use culvert::wire::{EtherType, MacAddr, ethernet};

const WAN_VLAN: u16 = 7;
const LAN_VLAN: u16 = 4094;

/// The frame with a tag before its EtherType.
fn with_tag(frame: &[u8], tag: [u8; 4]) -> Vec<u8> {
    [&frame[..12], &tag, &frame[12..]].concat()
}

/// The same, of a VLAN.
fn of_vlan(vlan: u16, frame: &[u8]) -> Vec<u8> {
    let [high, low] = vlan.to_be_bytes();
    with_tag(frame, [0x81, 0, high, low])
}

/// The frame without the one tag that it has to have.
fn untagged(vlan: u16, frame: &[u8]) -> Vec<u8> {
    let [high, low] = vlan.to_be_bytes();
    assert_eq!(frame[12..16], [0x81, 0, high, low]);
    assert_ne!(frame[16..18], [0x81, 0], "tagged twice");
    [&frame[..12], &frame[16..]].concat()
}

fn in_vlans(cores: Vec<Role>, resolved: bool) -> Gateway {
    Gateway::with(&Options { cores, resolved, vlans: [WAN_VLAN, LAN_VLAN], ..Options::default() })
}

/// All that went out by the outer port, as datagrams.
fn datagrams(gw: &mut Gateway) -> Vec<Datagram> {
    let (wan, lan) = gw.frames();
    assert_eq!(lan, Vec::<Vec<u8>>::new());
    wan.iter().filter_map(|frame| Datagram::of(&untagged(WAN_VLAN, frame))).collect()
}

/// A handshake, confirmed, in the outer port's VLAN.
fn connect(gw: &mut Gateway, client: &mut Client) {
    let initiation = client.initiation();
    let frame = of_vlan(WAN_VLAN, &client.frame(&initiation));
    gw.wan(&frame);
    gw.settle();
    assert!(client.take_response(&datagrams(gw).remove(0).payload));
    let keepalive = of_vlan(WAN_VLAN, &client.data(&[]));
    gw.wan(&keepalive);
    gw.settle();
}

fn lan(gw: &mut Gateway, frame: &[u8]) {
    let packet = gw.packet(frame);
    gw.lan_rx[0].push(packet);
}

#[test]
fn both_ways_through_two_vlans() {
    // The last worker sends by the first core: its packets are tagged once, too.
    for cores in [vec![Role::Both], vec![Role::Io, Role::WorkerByIo]] {
        let mut gw = in_vlans(cores, true);
        let mut client = Client::new(1);
        gw.add(&client);
        connect(&mut gw, &mut client);
        for (n, priority) in [(1, 0), (2, 0x60), (3, 0xf0)] {
            let [high, low] = WAN_VLAN.to_be_bytes();
            let frame = with_tag(&client.data(&tagged(&client.inner(), HOST, n, 96)), [0x81, 0, high | priority, low]);
            gw.wan(&frame);
            let answer = packets::frame(LAN_MAC, HOST_MAC, &tagged(HOST, &client.inner(), n, 1420));
            lan(&mut gw, &of_vlan(LAN_VLAN, &answer));
        }
        gw.settle();
        let (wan, lan) = gw.frames();
        let delivered = lan.iter().map(|frame| untagged(LAN_VLAN, frame));
        assert_eq!(delivered.map(|f| tag(&f[14..])).collect::<Vec<_>>(), [1, 2, 3]);
        let received = wan.iter().map(|frame| Datagram::of(&untagged(WAN_VLAN, frame)).unwrap());
        assert_eq!(received.map(|d| tag(&client.open(&d.payload).unwrap())).collect::<Vec<_>>(), [1, 2, 3]);
        gw.finish();
    }
}

#[test]
fn the_control_threads_speak_and_hear_in_the_vlan() {
    let mut gw = in_vlans(vec![Role::Both], false);
    let client = Client::new(1);
    gw.change_peer(PeerChange { endpoint: Some(client.at), ..peer(&client) });
    let packet = packets::frame(LAN_MAC, HOST_MAC, &tagged(HOST, &client.inner(), 1, 96));
    lan(&mut gw, &of_vlan(LAN_VLAN, &packet));
    gw.settle();
    // An initiation is to go; its next hop is asked for first.
    let (wan, _) = gw.frames();
    let asked = untagged(WAN_VLAN, &wan[0]);
    let question = ArpPacket::new_checked(&asked[14..]).unwrap();
    let (mut header, mut body) = ([0; ethernet::HEADER_LEN], [0; arp::LEN]);
    ethernet::write_header(&mut header, WAN_MAC, ROUTER_MAC, EtherType::ARP);
    ArpPacket::reply(&question, ROUTER_MAC).write(&mut body);
    let answer = [&header[..], &body].concat();
    // Heard in the VLAN only.
    gw.silent(std::slice::from_ref(&answer), "vlan");
    gw.wan(&of_vlan(WAN_VLAN, &answer));
    gw.settle();
    assert_eq!(datagrams(&mut gw).iter().map(Datagram::kind).collect::<Vec<_>>(), [1]);
    gw.finish();
}

#[test]
fn other_vlans_and_untagged_frames_are_dropped_in_a_vlan() {
    let mut gw = in_vlans(vec![Role::Both], true);
    let mut client = Client::new(1);
    gw.add(&client);
    connect(&mut gw, &mut client);
    let good = client.data(&tagged(&client.inner(), HOST, 1, 96));
    let twice = of_vlan(WAN_VLAN, &of_vlan(WAN_VLAN, &good));
    let service_tag = with_tag(&good, [0x88, 0xa8, 0, 7]);
    let others = [good.clone(), of_vlan(0, &good), of_vlan(8, &good), of_vlan(LAN_VLAN, &good), twice, service_tag];
    gw.silent(&others, "vlan");
    let tagged_good = of_vlan(WAN_VLAN, &good);
    let cut: Vec<_> = (0..18).map(|len| tagged_good[..len].to_vec()).collect();
    gw.silent(&cut, "vlan");
    gw.silent(&(18..18 + 20).map(|len| tagged_good[..len].to_vec()).collect::<Vec<_>>(), "runt");
    gw.wan(&tagged_good);
    gw.settle();
    assert_eq!(gw.frames().1.len(), 1);
    gw.finish();
}

#[test]
fn an_untagged_port_takes_tags_for_priority_only() {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    gw.connect(&mut client);
    gw.frames();
    let good = client.data(&tagged(&client.inner(), HOST, 1, 96));
    let twice = of_vlan(0, &of_vlan(0, &good));
    gw.silent(&[of_vlan(1, &good), of_vlan(4095, &good), twice, of_vlan(0, &of_vlan(7, &good))], "vlan");
    gw.silent(&[with_tag(&good, [0x88, 0xa8, 0, 0])], "ether_type");
    gw.silent(&[of_vlan(1, &packets::frame(MacAddr([2, 9, 9, 9, 9, 9]), ROUTER_MAC, &good[14..]))], "not_our_mac");
    gw.wan(&with_tag(&good, [0x81, 0, 0xe0, 0]));
    gw.settle();
    assert_eq!(gw.delivered().iter().map(|p| tag(p)).collect::<Vec<_>>(), [1]);
    gw.finish();
}

#[test]
fn a_tag_that_the_driver_took_off_counts_as_well() {
    for (vlan, stripped, is_ours) in [
        (0, None, true),
        (0, Some(0), true),
        (0, Some(7), false),
        (7, Some(7), true),
        (7, Some(8), false),
        (7, Some(0), false),
    ] {
        let mut gw = Gateway::with(&Options { vlans: [vlan, 0], ..Options::default() });
        let mut client = Client::new(1);
        gw.add(&client);
        // A good frame with a good one before and behind it, in one burst.
        let initiation = client.initiation();
        let frame = client.frame(&initiation);
        for _ in 0..2 {
            let mut packet = gw.packet(&frame);
            packet.meta_mut().nic = stripped.map_or(0, |id: u16| Meta::VLAN_STRIPPED | id);
            gw.wan_rx[0].push(packet);
        }
        gw.settle();
        let answers = gw.frames().0.len();
        assert_eq!((answers, gw.dropped("vlan")), if is_ours { (1, 0) } else { (0, 2) }, "{vlan} {stripped:?}");
        gw.finish();
    }
}

/// TESTING A20: no room in front for the tag.
#[test]
fn a_frame_that_has_no_headroom_for_the_tag_gets_a_copy_that_has() {
    let mut gw = in_vlans(vec![Role::Both], true);
    let mut client = Client::new(1);
    gw.add(&client);
    connect(&mut gw, &mut client);
    for (n, headroom) in [(1, 0), (2, 67), (3, 68), (4, 71), (5, 72)] {
        let frame = packets::frame(LAN_MAC, HOST_MAC, &tagged(HOST, &client.inner(), n, 1000));
        let frame = of_vlan(LAN_VLAN, &frame);
        let mut packet = gw.packet(&[]);
        packet.set_headroom(headroom).unwrap();
        culvert::frame::Frame::append(&mut packet, frame.len()).unwrap().copy_from_slice(&frame);
        gw.lan_rx[0].push(packet);
    }
    gw.settle();
    let received = datagrams(&mut gw).into_iter().map(|d| tag(&client.open(&d.payload).unwrap()));
    assert_eq!(received.collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    gw.finish();
}

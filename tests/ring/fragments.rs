//! Outer fragments through the real gateway and the library; ports in a VLAN.

use crate::client::Client;
use crate::far::Seen;
use crate::packets::{Datagram, tag, tagged};
use crate::rig::{HOST, HOST_MAC, Options, Rig, Source};
use culvert::wire::checksum::Sum;

/// An IPv4 frame in two fragments.
pub(crate) fn in_two(frame: &[u8], identification: u16, at: usize) -> [Vec<u8>; 2] {
    let (head, bytes) = (&frame[..34], &frame[34..]);
    let fragment = |bytes: &[u8], place: usize| {
        let mut fragment = [head, bytes].concat();
        let total = u16::try_from(20 + bytes.len()).unwrap();
        fragment[16..18].copy_from_slice(&total.to_be_bytes());
        fragment[18..20].copy_from_slice(&identification.to_be_bytes());
        fragment[20..22].copy_from_slice(&(place as u16).to_be_bytes());
        fragment[24..26].fill(0);
        let checksum = Sum::new().bytes(&fragment[14..34]).checksum();
        fragment[24..26].copy_from_slice(&checksum.to_be_bytes());
        fragment
    };
    [fragment(&bytes[..at], 0x2000), fragment(&bytes[at..], at / 8)]
}

#[test]
fn a_client_that_sends_fragments_beside_one_that_does_not() {
    // One queue each way, so that the order is to be seen.
    let mut rig = Rig::new(&Options { queues: 1, ..Options::default() });
    let (mut whole, mut cut) = (Client::new(1), Client::new(2));
    rig.add(&whole);
    rig.add(&cut);
    rig.connect(&mut whole, 0);
    rig.connect(&mut cut, 0);
    // In rounds, so that no bound of the control thread is met.
    let (mut from_whole, mut from_cut) = (vec![], vec![]);
    for round in 0..20_u32 {
        let numbers = || (round * 50..round * 50 + 50).map(|n| n + 1);
        let one: Vec<_> = numbers().map(|n| whole.data(&tagged(&whole.inner(), HOST, n, 1300))).collect();
        let two: Vec<_> =
            numbers().flat_map(|n| in_two(&cut.data(&tagged(&cut.inner(), HOST, n, 1300)), n as u16, 1280)).collect();
        rig.blast(vec![Source::outer(0, one), Source::outer(0, two)], |outer, _, seen| {
            if let (false, Seen::Frame(frame)) = (outer, seen)
                && frame[..6] == HOST_MAC.0
            {
                let from = if frame[14 + 15] == 1 { &mut from_whole } else { &mut from_cut };
                from.push(tag(&frame[14..]));
            }
        });
    }
    let all: Vec<u32> = (1..=1000).collect();
    for (who, came) in [("whole", from_whole), ("cut", from_cut)] {
        let wrong = came.iter().zip(&all).position(|(came, sent)| came != sent);
        let near = wrong.map(|at| came.iter().skip(at.saturating_sub(3)).take(60).collect::<Vec<_>>());
        assert_eq!((came.len(), near), (all.len(), None), "{who}: {:?}", rig.account());
    }
    assert_eq!(rig.dropped("fragment_joined"), 2000);
    rig.finish();
}

#[test]
fn a_flood_of_fragments_that_never_become_whole() {
    let mut rig = Rig::new(&Options::default());
    let mut client = Client::new(1);
    rig.add(&client);
    rig.connect(&mut client, 0);
    let frame = client.frame(&[4; 1000]);
    let flood = (0..60_000_u32).map(|n| {
        let mut fragment = in_two(&frame, n as u16, 496)[n as usize % 2].clone();
        // Sources that nobody can count.
        fragment[26..30].copy_from_slice(&(0x0b00_0000 + n / 7).to_be_bytes());
        fragment[24..26].fill(0);
        let checksum = Sum::new().bytes(&fragment[14..34]).checksum();
        fragment[24..26].copy_from_slice(&checksum.to_be_bytes());
        fragment
    });
    rig.blast_while(vec![Source::outer(0, flood)], || true, |_, _, _| ());
    // A client's ping and an echo to us pass meanwhile, and after it.
    let echo = crate::packets::echo("198.51.100.77", "192.0.2.1");
    let echo = crate::packets::frame(crate::harness::WAN_MAC, crate::harness::ROUTER_MAC, &echo);
    let data = client.data(&tagged(&client.inner(), HOST, 7, 96));
    let (mut echoes, mut arrived) = (0, 0);
    rig.blast_while(vec![Source::outer(0, [echo, data])], || true, |_, _, _| ());
    rig.settle(|outer, _, seen| match seen {
        Seen::Frame(frame) if outer => echoes += u32::from(frame[23] == 1),
        Seen::Frame(frame) => arrived += u32::from(frame[..6] == HOST_MAC.0),
        Seen::Empty => (),
    });
    assert_eq!((echoes, arrived), (1, 1), "{:?}", rig.account());
    let account = rig.finish();
    let dropped = |name| crate::rig::dropped(&account, name);
    assert!(dropped("fragment_bound") > 0 && dropped("fragment_timeout") > 0, "{account:?}");
    assert_eq!(dropped("fragment_bound") + dropped("fragment_timeout"), 60_000, "{account:?}");
}

#[test]
fn two_vlans() {
    through_vlans(2);
}

#[test]
fn two_vlans_where_cores_share_a_tx_queue() {
    through_vlans(1);
}

fn through_vlans(queues: u16) {
    let mut rig = Rig::new(&Options { queues, vlans: [7, 8], ..Options::default() });
    let mut client = Client::new(1);
    rig.add(&client);
    let tagged_with = |vlan: u8, frame: &[u8]| [&frame[..12], &[0x81, 0, 0, vlan], &frame[12..]].concat();
    let initiation = client.initiation();
    let frame = client.frame(&initiation);
    let mut response = None;
    // Untagged, in another VLAN, in ours; the router is found by ARP in ours.
    let frames = [frame.clone(), tagged_with(8, &frame), tagged_with(7, &frame)];
    rig.blast(vec![Source::outer(0, frames)], |outer, _, seen| {
        if let (true, Seen::Frame(frame)) = (outer, seen) {
            assert_eq!(frame[12..16], [0x81, 0, 0, 7]);
            let datagram = || Datagram::of(&[&frame[..12], &frame[16..]].concat());
            response = response.take().or_else(|| Some(datagram()?.payload));
        }
    });
    assert!(client.take_response(&response.expect("a response")), "{:?}", rig.account());
    assert_eq!(rig.dropped("vlan"), 2);
    let mut arrived = vec![];
    // The host is found by the first, by ARP in the inner VLAN.
    for numbers in [1..2, 2..100] {
        let data: Vec<_> =
            numbers.map(|n| tagged_with(7, &client.data(&tagged(&client.inner(), HOST, n, 1420)))).collect();
        rig.blast(vec![Source::outer(usize::from(queues) - 1, data)], |outer, _, seen| {
            if let (false, Seen::Frame(frame)) = (outer, seen) {
                assert_eq!(frame[12..16], [0x81, 0, 0, 8]);
                if frame[..6] == HOST_MAC.0 {
                    arrived.push(tag(&frame[18..]));
                }
            }
        });
    }
    if queues > 1 {
        // Which of two TX queues is read first says nothing; order.rs sees to the order in each.
        arrived.sort_unstable();
    }
    assert_eq!(arrived, (1..100).collect::<Vec<_>>());
    rig.finish();
}

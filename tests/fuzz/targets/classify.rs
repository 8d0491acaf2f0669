//! Whole frames through `classify_burst`: whatever they hold, the way that they take is one that the next stage can go, and the one
//! that `classify` finds for each alone.
//! The first byte chooses the port, what the NIC says of the checksums, and whether the live session's index, which no
//! input can know, is written where data messages have theirs.

use crate::client::Client;
use crate::harness::{Gateway, LAN, WAN};
use culvert::datapath::{Way, classify, classify_burst};
use culvert::frame::{Frame, Packet};
use culvert::wire::InnerPacket;
use culvert::wire::wireguard::Message;
use std::cell::RefCell;

thread_local! {
    /// Made once: `classify` changes nothing but its packet.
    static GATEWAY: RefCell<Option<(Gateway, Client)>> = const { RefCell::new(None) };
}

pub(crate) fn run(data: &[u8]) {
    let Some((choice, frame)) = data.split_first() else { return };
    let mut frame = frame[..frame.len().min(2000)].to_vec();
    GATEWAY.with_borrow_mut(|gateway| {
        let (gateway, client) = gateway.get_or_insert_with(gateway_with_a_session);
        if choice & 8 != 0 {
            let at = if frame.get(14).is_some_and(|first| first >> 4 == 6) { 66 } else { 46 };
            let place = frame.get_mut(at..at + 4);
            place
                .into_iter()
                .for_each(|place| place.copy_from_slice(&client.session().secrets.remote_index.to_le_bytes()));
        }
        look(gateway, *choice, &frame);
    });
}

fn gateway_with_a_session() -> (Gateway, Client) {
    let mut gateway = Gateway::new();
    // It lives as long as the thread, and is never taken down.
    gateway.guard.finished = true;
    let mut client = Client::new(1);
    gateway.add(&client);
    gateway.connect(&mut client);
    (gateway, client)
}

fn look(gateway: &mut Gateway, choice: u8, frame: &[u8]) {
    // The last is for `classify`; in the burst the frame meets itself.
    let mut packets = std::array::from_fn::<_, 3, _>(|_| gateway.packet(frame));
    packets.iter_mut().for_each(|packet| packet.meta_mut().nic = u16::from(choice >> 1 & 3) << 13);
    let [burst @ .., alone] = &mut packets;
    let port = if choice & 1 == 0 { WAN } else { LAN };
    let shared = std::sync::Arc::clone(&gateway.shared);
    let (port, reader) = (&shared.ports[usize::from(port)], &gateway.cores[0].reader);
    let mut ways = Default::default();
    classify_burst(burst, port, &shared, reader, &mut ways);
    let way = classify(alone, port, &shared, reader);
    assert_eq!(ways.as_slice(), [way; 2]);
    let (meta, bytes) = (*burst[1].meta(), burst[1].data());
    if !matches!(way, Way::Drop(_)) {
        assert_eq!((meta, bytes), (*alone.meta(), alone.data()));
    }
    assert!(bytes.len() <= frame.len());
    // A tag of no VLAN, for priority only, is taken off on the way.
    let untagged = match frame.get(12..16) {
        Some([0x81, 0, _, _]) => [&frame[..12], &frame[16..]].concat(),
        _ => frame.to_vec(),
    };
    let frame = untagged.as_slice();
    match way {
        Way::Drop(_) => {}
        Way::Control | Way::Fragment => assert_eq!(bytes, frame, "control threads take whole frames"),
        Way::Ingress(_) => {
            let Ok(Message::Data(data)) = Message::parse(bytes) else { panic!("no data message") };
            assert_eq!((meta.receiver, meta.verdict), (data.receiver(), 0));
            assert!(shared.endpoint(&meta).is_some());
            assert!(is_part_of(bytes, frame));
        }
        Way::Handshake(thread) => {
            assert!(thread < shared.handshakes.len());
            let message = Message::parse(bytes).unwrap();
            assert!(!matches!(message, Message::Data(_)));
            assert!(shared.endpoint(&meta).is_some());
            assert!(is_part_of(bytes, frame));
        }
        Way::Undeliverable(_) => {
            assert_eq!(InnerPacket::parse(bytes).unwrap().total_len, bytes.len());
            assert_eq!(bytes, &frame[14..14 + bytes.len()], "the sender gets back what it sent");
        }
        Way::Egress(_) => {
            let inner = InnerPacket::parse(bytes).unwrap();
            assert_eq!((inner.total_len, meta.verdict), (bytes.len(), 0));
            // One hop less, and in IPv4 another checksum; all else as it came.
            let hops = if inner.source.is_ipv4() { 8 } else { 7 };
            let came = &frame[14..14 + bytes.len()];
            assert_eq!(bytes[hops] + 1, came[hops]);
            let changed = |at: &usize| bytes[*at] != came[*at];
            assert!((0..bytes.len()).filter(changed).all(|at| at == hops || matches!((hops, at), (8, 10 | 11))));
        }
    }
}

fn is_part_of(bytes: &[u8], frame: &[u8]) -> bool {
    frame.windows(bytes.len()).any(|window| window == bytes)
}

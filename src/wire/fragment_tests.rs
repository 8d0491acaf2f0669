use super::*;
use crate::wire::test_packets::{self, V4};
use proptest::prelude::*;

/// A UDP packet of 20 + `payload` bytes with these options, flags and offset word.
fn packet(options: &[u8], word: u16, payload: usize) -> Vec<u8> {
    let bytes: Vec<u8> = (0..payload).map(|n| ((n * 7 + n / 251) % 256).to_le_bytes()[0]).collect();
    let mut packet = test_packets::v4(V4[0], V4[1], 0xb9, 17, &bytes);
    packet.splice(20..20, options.iter().copied());
    packet[0] = 0x45 + u8::try_from(options.len() / 4).unwrap();
    let total = u16::try_from(packet.len()).unwrap();
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    packet[6..8].copy_from_slice(&word.to_be_bytes());
    packet[10..12].fill(0);
    let sum = Sum::new().bytes(&packet[..20 + options.len()]).checksum();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// The pieces as packets.
fn cut(packet: &[u8], mtu: u16) -> Vec<Vec<u8>> {
    let pieces = Fragments::new(packet, mtu).unwrap();
    pieces.map(|piece| [piece.header(), &packet[piece.payload.clone()]].concat()).collect()
}

/// The oracle (RFC 815's holes are none here): the pieces in any order, put together by what their headers say. Payload, where it
/// begins, and whether more follows.
fn reassembled(pieces: &[Vec<u8>]) -> (Vec<u8>, usize, bool) {
    let mut parts: Vec<_> = pieces
        .iter()
        .map(|piece| {
            let ip = Ipv4Packet::new_checked(piece).unwrap();
            assert!(ip.verify_checksum());
            assert_eq!(ip.total_len(), piece.len());
            (ip.fragment_offset(), ip.more_fragments(), ip.payload().to_vec())
        })
        .collect();
    parts.sort_by_key(|(offset, ..)| *offset);
    let start = parts[0].0;
    let mut whole = Vec::new();
    for (place, (offset, more, payload)) in parts.iter().enumerate() {
        assert_eq!(*offset, start + whole.len(), "no hole, no overlap");
        assert!(*more || place + 1 == parts.len(), "only the last may end the datagram");
        whole.extend(payload);
    }
    (whole, start, parts.last().unwrap().1)
}

#[test]
fn a_known_datagram_in_three() {
    let packet = packet(&[], 0, 3000);
    let pieces = cut(&packet, 1420);
    let told: Vec<_> = pieces
        .iter()
        .map(|piece| {
            let ip = Ipv4Packet::new_checked(piece).unwrap();
            (ip.total_len(), ip.fragment_offset(), ip.more_fragments(), ip.identification(), ip.ttl(), ip.tos())
        })
        .collect();
    // 1,400 is a multiple of 8: the pieces are full.
    assert_eq!(
        told,
        [(1420, 0, true, 0x1234, 17, 0xb9), (1420, 1400, true, 0x1234, 17, 0xb9), (220, 2800, false, 0x1234, 17, 0xb9)]
    );
}

#[test]
fn options_with_the_copied_flag_are_in_all_pieces() {
    // Record route (7: first piece only), no-operation, router alert (148: copied), end.
    let options = [7, 7, 4, 0, 0, 0, 0, 1, 148, 4, 0, 0];
    let packet = packet(&options, 0, 600);
    let pieces = cut(&packet, 300);
    assert_eq!(pieces[0][20..32], options);
    for later in &pieces[1..] {
        assert_eq!((later[0], &later[20..24]), (0x46, &[148, 4, 0, 0][..]));
    }
    assert_eq!(reassembled(&pieces).0, packet[32..]);
}

#[test]
fn broken_options_end_the_list() {
    for options in [[148, 0, 1, 1], [148, 1, 1, 1], [148, 5, 1, 1], [1, 1, 1, 148]] {
        let packet = packet(&options, 0, 600);
        let pieces = cut(&packet, 300);
        assert_eq!(pieces[0][20..24], options);
        assert!(pieces[1..].iter().all(|p| Ipv4Packet::new_checked(p).unwrap().header_len() == 20));
        assert_eq!(reassembled(&pieces).0, packet[24..]);
    }
}

#[test]
fn what_is_not_cut() {
    let error = |packet: &[u8], mtu| Fragments::new(packet, mtu).unwrap_err();
    assert_eq!(error(&packet(&[], 0x4000, 600), 300), CutError::DontFragment);
    assert_eq!(error(&packet(&[], 0, 600), 27), CutError::Mtu);
    assert_eq!(error(&packet(&[1; 40], 0, 600), 67), CutError::Mtu);
    assert!(Fragments::new(&packet(&[1; 40], 0, 600), 68).is_ok());
    // Offset 65,528: seven bytes more are the end of the longest datagram.
    assert_eq!(error(&packet(&[], 0x1fff, 8), 100), CutError::Beyond);
    assert!(Fragments::new(&packet(&[], 0x1fff, 7), 100).is_ok());
    let v6 = test_packets::udp_v6(test_packets::V6[0], test_packets::V6[1], 0, &[0; 600]);
    assert_eq!(error(&v6, 300), CutError::NotIpv4);
    assert_eq!(error(&[], 300), CutError::NotIpv4);
}

fn options() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..=10).prop_flat_map(|words| {
        let len = words.len() * 4;
        prop_oneof![
            prop::collection::vec(any::<u8>(), len),
            // More often well-formed.
            prop::collection::vec(prop_oneof![Just(1_u8), Just(148), Just(4), Just(7), Just(0)], len),
        ]
    })
}

proptest! {
    /// Putting the pieces together gives the packet; each fits, and none could have been longer.
    #[test]
    fn pieces_are_the_packet(options in options(), payload in 1..9000_usize, mtu in 68..9216_u16, start in 0..6000_u16, more: bool) {
        let word = start | if more { MORE_FRAGMENTS } else { 0 };
        let packet = packet(&options, word, payload);
        let pieces = cut(&packet, mtu);
        prop_assert_eq!(reassembled(&pieces), (packet[20 + options.len()..].to_vec(), usize::from(start) * 8, more));
        prop_assert_eq!(&pieces[0][..2], &packet[..2]);
        for (place, piece) in pieces.iter().enumerate() {
            prop_assert!(piece.len() <= usize::from(mtu));
            prop_assert!(place + 1 == pieces.len() || piece.len() + 8 > usize::from(mtu));
            prop_assert_eq!(piece[1], packet[1]);
            prop_assert_eq!(&piece[4..6], &packet[4..6]);
            prop_assert_eq!(&piece[8..10], &packet[8..10]);
            prop_assert_eq!(&piece[12..20], &packet[12..20]);
        }
    }

    /// Pieces of pieces are pieces of the packet.
    #[test]
    fn fragments_of_fragments(options in options(), payload in 1..4000_usize, first in 68..2000_u16, second in 68..2000_u16) {
        let packet = packet(&options, 0, payload);
        let pieces: Vec<_> = cut(&packet, first).iter().flat_map(|piece| cut(piece, second)).collect();
        prop_assert_eq!(reassembled(&pieces), (packet[20 + options.len()..].to_vec(), 0, false));
    }

    #[test]
    fn any_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), mtu: u16) {
        if let Some(first) = bytes.first_mut() {
            *first = 0x40 | *first & 0x0f;
        }
        if let Ok(pieces) = Fragments::new(&bytes, mtu) {
            for piece in pieces {
                prop_assert!(piece.payload.end <= bytes.len() && piece.payload.start >= piece.header().len());
            }
        }
    }
}

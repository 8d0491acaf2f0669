use super::*;
use proptest::prelude::*;

/// Bytes that count up behind a type word, so that a field read at the wrong place shows.
fn counting(message_type: u32, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
    for (to, from) in bytes.iter_mut().zip(message_type.to_le_bytes()) {
        *to = from;
    }
    bytes
}

fn ends(field: &[u8]) -> (u8, u8, usize) {
    (field[0], field[field.len() - 1], field.len())
}

/// PROTOCOL A1.21: 148 bytes.
#[test]
fn initiation_fields() {
    let bytes = counting(1, 148);
    let Ok(Message::Initiation(m)) = Message::parse(&bytes) else { panic!("an initiation") };
    assert_eq!(m.sender(), 0x0706_0504);
    assert_eq!(ends(m.ephemeral()), (8, 39, 32));
    assert_eq!(ends(m.encrypted_static()), (40, 87, 48));
    assert_eq!(ends(m.encrypted_timestamp()), (88, 115, 28));
    assert_eq!(ends(m.mac1_input()), (1, 115, 116));
    assert_eq!(ends(m.mac1()), (116, 131, 16));
    assert_eq!(ends(m.mac2_input()), (1, 131, 132));
    assert_eq!(ends(m.mac2()), (132, 147, 16));
    assert_eq!(m.bytes()[..], bytes);
}

/// PROTOCOL A1.21: 92 bytes.
#[test]
fn response_fields() {
    let bytes = counting(2, 92);
    let Ok(Message::Response(m)) = Message::parse(&bytes) else { panic!("a response") };
    assert_eq!((m.sender(), m.receiver()), (0x0706_0504, 0x0b0a_0908));
    assert_eq!(ends(m.ephemeral()), (12, 43, 32));
    assert_eq!(ends(m.encrypted_nothing()), (44, 59, 16));
    assert_eq!(ends(m.mac1_input()), (2, 59, 60));
    assert_eq!(ends(m.mac1()), (60, 75, 16));
    assert_eq!(ends(m.mac2_input()), (2, 75, 76));
    assert_eq!(ends(m.mac2()), (76, 91, 16));
    assert_eq!(m.bytes()[..], bytes);
}

/// PROTOCOL A1.21: 64 bytes.
#[test]
fn cookie_reply_fields() {
    let bytes = counting(3, 64);
    let Ok(Message::CookieReply(m)) = Message::parse(&bytes) else { panic!("a cookie reply") };
    assert_eq!(m.receiver(), 0x0706_0504);
    assert_eq!(ends(m.nonce()), (8, 31, 24));
    assert_eq!(ends(m.encrypted_cookie()), (32, 63, 32));
    assert_eq!(m.bytes()[..], bytes);
}

/// PROTOCOL A1.19: 32 bytes are a keepalive.
#[test]
fn data_fields() {
    let bytes = counting(4, 33);
    let Ok(Message::Data(m)) = Message::parse(&bytes) else { panic!("data") };
    assert_eq!((m.receiver(), m.counter()), (0x0706_0504, 0x0f0e_0d0c_0b0a_0908));
    assert_eq!(ends(m.encrypted_packet()), (16, 32, 17));
    assert!(!m.is_keepalive());
    let Ok(Message::Data(m)) = Message::parse(&bytes[..32]) else { panic!("a keepalive") };
    assert!(m.is_keepalive());
}

/// TESTING A3: every length, every type.
/// PROTOCOL A2.1: exact lengths.
#[test]
fn attack_a3_lengths_and_types() {
    for len in 0..=2000 {
        let is_ok = |message_type: u32| Message::parse(&counting(message_type, len)).is_ok();
        assert_eq!(is_ok(1), len == 148);
        assert_eq!(is_ok(2), len == 92);
        assert_eq!(is_ok(3), len == 64);
        assert_eq!(is_ok(4), len >= 32);
    }
    for len in [0, 3, 4, 32, 64, 92, 148, 1500] {
        for other in (0..=255).filter(|t| !(1..=4).contains(t)) {
            assert!(Message::parse(&counting(other, len)).is_err());
        }
    }
}

#[test]
fn attack_a3_reserved_bytes() {
    for (message_type, len) in [(1, 148), (2, 92), (3, 64), (4, 32)] {
        for at in 1..4 {
            for bit in 0..8 {
                let mut bytes = counting(message_type, len);
                bytes[at] = 1 << bit;
                assert_eq!(Message::parse(&bytes).unwrap_err(), MessageError::Type);
            }
        }
    }
}

#[test]
fn errors_name_what_is_wrong() {
    let error = |message_type, len| Message::parse(&counting(message_type, len)).unwrap_err();
    assert_eq!(error(4, 3), MessageError::Truncated);
    assert_eq!(error(1, 4), MessageError::InitiationLen);
    assert_eq!(error(2, 148), MessageError::ResponseLen);
    assert_eq!(error(3, 63), MessageError::CookieReplyLen);
    assert_eq!(error(4, 4), MessageError::DataLen);
    assert_eq!(error(4, 31), MessageError::DataLen);
    assert_eq!(error(5, 32), MessageError::Type);
}

proptest! {
    #[test]
    fn any_bytes_never_panic(
        message_type in 0..6_u8,
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        if let Some(head) = bytes.first_chunk_mut() {
            *head = [message_type, 0, 0, 0];
        }
        let expected = match (message_type, bytes.len()) {
            (1, 148) | (2, 92) | (3, 64) => true,
            (4, len) => len >= 32,
            _ => false,
        };
        prop_assert_eq!(Message::parse(&bytes).is_ok(), expected);
    }

    #[test]
    fn data_header_round_trips(receiver: u32, counter: u64, packet in prop::collection::vec(any::<u8>(), 16..99)) {
        let mut header = [0xa5; DataHeader::LEN];
        DataHeader::write(&mut header, receiver, counter);
        let bytes = [&header[..], &packet].concat();
        let Ok(Message::Data(m)) = Message::parse(&bytes) else { panic!("data") };
        prop_assert_eq!((m.receiver(), m.counter(), m.encrypted_packet()), (receiver, counter, &packet[..]));
    }
}

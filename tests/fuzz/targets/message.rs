//! WireGuard messages: what is taken has the type and length that the protocol gives, and its fields are all of it.

use culvert::wire::wireguard::{DataHeader, Message, MessageError};

pub(crate) fn run(payload: &[u8]) {
    let message_type = payload.first_chunk().map(|first| u32::from_le_bytes(*first));
    let expected = match (message_type, payload.len()) {
        (None, _) => Err(MessageError::Truncated),
        (Some(1), 148) | (Some(2), 92) | (Some(3), 64) | (Some(4), 32..) => Ok(()),
        (Some(1), _) => Err(MessageError::InitiationLen),
        (Some(2), _) => Err(MessageError::ResponseLen),
        (Some(3), _) => Err(MessageError::CookieReplyLen),
        (Some(4), _) => Err(MessageError::DataLen),
        (Some(_), _) => Err(MessageError::Type),
    };
    match Message::parse(payload) {
        Err(error) => assert_eq!(Err(error), expected),
        Ok(message) => {
            assert_eq!(expected, Ok(()));
            assert_eq!(written(&message), payload);
        }
    }
}

/// The message, put together again from its fields.
fn written(message: &Message<'_>) -> Vec<u8> {
    match message {
        Message::Initiation(m) => {
            assert_eq!([m.mac1_input(), &m.mac1()[..]].concat(), m.mac2_input());
            let body = [&[1, 0, 0, 0], &m.sender().to_le_bytes(), &m.ephemeral()[..], m.encrypted_static()].concat();
            let body = [&body, &m.encrypted_timestamp()[..]].concat();
            assert_eq!(body, m.mac1_input());
            [&body, &m.mac1()[..], m.mac2()].concat()
        }
        Message::Response(m) => {
            assert_eq!([m.mac1_input(), &m.mac1()[..]].concat(), m.mac2_input());
            let indexes = [m.sender().to_le_bytes(), m.receiver().to_le_bytes()].concat();
            let body = [&[2, 0, 0, 0], &indexes[..], m.ephemeral(), m.encrypted_nothing()].concat();
            assert_eq!(body, m.mac1_input());
            [&body, &m.mac1()[..], m.mac2()].concat()
        }
        Message::CookieReply(m) => {
            [&[3, 0, 0, 0], &m.receiver().to_le_bytes(), &m.nonce()[..], m.encrypted_cookie()].concat()
        }
        Message::Data(m) => {
            assert_eq!(m.is_keepalive(), m.encrypted_packet().len() == 16);
            let mut header = [0; DataHeader::LEN];
            DataHeader::write(&mut header, m.receiver(), m.counter());
            [&header, m.encrypted_packet()].concat()
        }
    }
}

//! WireGuard messages (whitepaper 5.4): types, lengths, and where the fields lie.

use super::bytes::{field, le32, set_field};
use thiserror::Error;

/// Bytes of a key, public or ephemeral.
pub const KEY_LEN: usize = 32;
/// Bytes of an authentication tag.
pub const TAG_LEN: usize = 16;
/// Bytes of mac1, and of mac2.
pub const MAC_LEN: usize = 16;
/// Bytes of a TAI64N time stamp.
pub const TIMESTAMP_LEN: usize = 12;
/// Bytes of a cookie.
pub const COOKIE_LEN: usize = 16;
/// Bytes of a cookie reply's nonce.
pub const COOKIE_NONCE_LEN: usize = 24;
/// Plaintext is padded to a multiple of this.
pub const PADDING_MULTIPLE: usize = 16;

/// The type field, first in each message: a byte, and three reserved ones that are zero, read as one little-endian word.
pub mod message_type {
    /// Handshake initiation.
    pub const INITIATION: u32 = 1;
    /// Handshake response.
    pub const RESPONSE: u32 = 2;
    /// Cookie reply.
    pub const COOKIE_REPLY: u32 = 3;
    /// Transport data.
    pub const DATA: u32 = 4;
}

/// Offsets in a handshake initiation (whitepaper 5.4.2).
pub mod initiation {
    use super::{KEY_LEN, MAC_LEN, TAG_LEN, TIMESTAMP_LEN};
    /// Sender index: LE32.
    pub const SENDER: usize = 4;
    /// Unencrypted ephemeral.
    pub const EPHEMERAL: usize = SENDER + 4;
    /// Encrypted static key and tag.
    pub const STATIC: usize = EPHEMERAL + KEY_LEN;
    /// Encrypted time stamp and tag.
    pub const TIMESTAMP: usize = STATIC + KEY_LEN + TAG_LEN;
    /// mac1: over all before it.
    pub const MAC1: usize = TIMESTAMP + TIMESTAMP_LEN + TAG_LEN;
    /// mac2: over all before it.
    pub const MAC2: usize = MAC1 + MAC_LEN;
    /// The whole message.
    pub const LEN: usize = MAC2 + MAC_LEN;
    const _: () = assert!(MAC1 == 116 && LEN == 148);
}

/// Offsets in a handshake response (whitepaper 5.4.3).
pub mod response {
    use super::{KEY_LEN, MAC_LEN, TAG_LEN};
    /// Sender index: LE32.
    pub const SENDER: usize = 4;
    /// Receiver index: LE32.
    pub const RECEIVER: usize = SENDER + 4;
    /// Unencrypted ephemeral.
    pub const EPHEMERAL: usize = RECEIVER + 4;
    /// The tag of nothing.
    pub const NOTHING: usize = EPHEMERAL + KEY_LEN;
    /// mac1: over all before it.
    pub const MAC1: usize = NOTHING + TAG_LEN;
    /// mac2: over all before it.
    pub const MAC2: usize = MAC1 + MAC_LEN;
    /// The whole message.
    pub const LEN: usize = MAC2 + MAC_LEN;
    const _: () = assert!(MAC1 == 60 && LEN == 92);
}

/// Offsets in a cookie reply (whitepaper 5.4.7).
pub mod cookie_reply {
    use super::{COOKIE_LEN, COOKIE_NONCE_LEN, TAG_LEN};
    /// Receiver index: LE32.
    pub const RECEIVER: usize = 4;
    /// Nonce.
    pub const NONCE: usize = RECEIVER + 4;
    /// Encrypted cookie and tag.
    pub const COOKIE: usize = NONCE + COOKIE_NONCE_LEN;
    /// The whole message.
    pub const LEN: usize = COOKIE + COOKIE_LEN + TAG_LEN;
    const _: () = assert!(LEN == 64);
}

/// Offsets in a data message (whitepaper 5.4.6).
pub mod data {
    use super::TAG_LEN;
    /// Receiver index: LE32.
    pub const RECEIVER: usize = 4;
    /// Counter: LE64.
    pub const COUNTER: usize = RECEIVER + 4;
    /// Encrypted packet and tag. Bytes of the header, too.
    pub const PACKET: usize = COUNTER + 8;
    /// The shortest message: a keepalive.
    pub const MIN_LEN: usize = PACKET + TAG_LEN;
    const _: () = assert!(PACKET == 16 && MIN_LEN == 32);
}

/// Why a UDP payload is no WireGuard message. All are silent drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// No room for a type.
    #[error("shorter than a message type")]
    Truncated,
    /// An unknown type, or reserved bytes that are not zero.
    #[error("unknown message type or reserved bytes set")]
    Type,
    /// A handshake initiation that has not 148 bytes.
    #[error("wrong length of a handshake initiation")]
    InitiationLen,
    /// A handshake response that has not 92 bytes.
    #[error("wrong length of a handshake response")]
    ResponseLen,
    /// A cookie reply that has not 64 bytes.
    #[error("wrong length of a cookie reply")]
    CookieReplyLen,
    /// A data message below 32 bytes.
    #[error("data message shorter than a keepalive")]
    DataLen,
}

/// A message of the right length for its type.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    /// Type 1.
    Initiation(Initiation<'a>),
    /// Type 2.
    Response(Response<'a>),
    /// Type 3.
    CookieReply(CookieReply<'a>),
    /// Type 4.
    Data(Data<'a>),
}

impl<'a> Message<'a> {
    /// Checks type, reserved bytes and length of a UDP payload.
    #[inline]
    pub fn parse(payload: &'a [u8]) -> Result<Self, MessageError> {
        let message_type = payload.first_chunk().ok_or(MessageError::Truncated)?;
        match u32::from_le_bytes(*message_type) {
            message_type::DATA => {
                let (header, packet) = payload.split_first_chunk().ok_or(MessageError::DataLen)?;
                if packet.len() < TAG_LEN {
                    return Err(MessageError::DataLen);
                }
                Ok(Self::Data(Data { header, packet }))
            }
            message_type::INITIATION => payload
                .try_into()
                .map(|bytes| Self::Initiation(Initiation(bytes)))
                .map_err(|_| MessageError::InitiationLen),
            message_type::RESPONSE => {
                payload.try_into().map(|bytes| Self::Response(Response(bytes))).map_err(|_| MessageError::ResponseLen)
            }
            message_type::COOKIE_REPLY => payload
                .try_into()
                .map(|bytes| Self::CookieReply(CookieReply(bytes)))
                .map_err(|_| MessageError::CookieReplyLen),
            _ => Err(MessageError::Type),
        }
    }
}

/// A handshake initiation.
#[derive(Clone, Copy, Debug)]
pub struct Initiation<'a>(&'a [u8; initiation::LEN]);

impl<'a> Initiation<'a> {
    /// The whole message.
    pub fn bytes(&self) -> &'a [u8; initiation::LEN] {
        self.0
    }

    /// The index by which the sender wants to be answered.
    pub fn sender(&self) -> u32 {
        le32::<{ initiation::SENDER }, _>(self.0)
    }

    /// The sender's ephemeral key.
    pub fn ephemeral(&self) -> &'a [u8; KEY_LEN] {
        field::<{ initiation::EPHEMERAL }, _, _>(self.0)
    }

    /// The sender's static key, encrypted, and tag.
    pub fn encrypted_static(&self) -> &'a [u8; KEY_LEN + TAG_LEN] {
        field::<{ initiation::STATIC }, _, _>(self.0)
    }

    /// The time stamp, encrypted, and tag.
    pub fn encrypted_timestamp(&self) -> &'a [u8; TIMESTAMP_LEN + TAG_LEN] {
        field::<{ initiation::TIMESTAMP }, _, _>(self.0)
    }

    /// What mac1 is over.
    pub fn mac1_input(&self) -> &'a [u8; initiation::MAC1] {
        field::<0, _, _>(self.0)
    }

    /// mac1.
    pub fn mac1(&self) -> &'a [u8; MAC_LEN] {
        field::<{ initiation::MAC1 }, _, _>(self.0)
    }

    /// What mac2 is over.
    pub fn mac2_input(&self) -> &'a [u8; initiation::MAC2] {
        field::<0, _, _>(self.0)
    }

    /// mac2: zero without a cookie.
    pub fn mac2(&self) -> &'a [u8; MAC_LEN] {
        field::<{ initiation::MAC2 }, _, _>(self.0)
    }
}

/// A handshake response.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a>(&'a [u8; response::LEN]);

impl<'a> Response<'a> {
    /// The whole message.
    pub fn bytes(&self) -> &'a [u8; response::LEN] {
        self.0
    }

    /// The index by which the sender wants to be answered.
    pub fn sender(&self) -> u32 {
        le32::<{ response::SENDER }, _>(self.0)
    }

    /// Our index in the initiation that it answers.
    pub fn receiver(&self) -> u32 {
        le32::<{ response::RECEIVER }, _>(self.0)
    }

    /// The sender's ephemeral key.
    pub fn ephemeral(&self) -> &'a [u8; KEY_LEN] {
        field::<{ response::EPHEMERAL }, _, _>(self.0)
    }

    /// The tag of nothing.
    pub fn encrypted_nothing(&self) -> &'a [u8; TAG_LEN] {
        field::<{ response::NOTHING }, _, _>(self.0)
    }

    /// What mac1 is over.
    pub fn mac1_input(&self) -> &'a [u8; response::MAC1] {
        field::<0, _, _>(self.0)
    }

    /// mac1.
    pub fn mac1(&self) -> &'a [u8; MAC_LEN] {
        field::<{ response::MAC1 }, _, _>(self.0)
    }

    /// What mac2 is over.
    pub fn mac2_input(&self) -> &'a [u8; response::MAC2] {
        field::<0, _, _>(self.0)
    }

    /// mac2: zero without a cookie.
    pub fn mac2(&self) -> &'a [u8; MAC_LEN] {
        field::<{ response::MAC2 }, _, _>(self.0)
    }
}

/// A cookie reply.
#[derive(Clone, Copy, Debug)]
pub struct CookieReply<'a>(&'a [u8; cookie_reply::LEN]);

impl<'a> CookieReply<'a> {
    /// The whole message.
    pub fn bytes(&self) -> &'a [u8; cookie_reply::LEN] {
        self.0
    }

    /// Our index in the message that it answers.
    pub fn receiver(&self) -> u32 {
        le32::<{ cookie_reply::RECEIVER }, _>(self.0)
    }

    /// The nonce.
    pub fn nonce(&self) -> &'a [u8; COOKIE_NONCE_LEN] {
        field::<{ cookie_reply::NONCE }, _, _>(self.0)
    }

    /// The cookie, encrypted, and tag.
    pub fn encrypted_cookie(&self) -> &'a [u8; COOKIE_LEN + TAG_LEN] {
        field::<{ cookie_reply::COOKIE }, _, _>(self.0)
    }
}

/// A data message.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    header: &'a [u8; data::PACKET],
    packet: &'a [u8],
}

impl<'a> Data<'a> {
    /// Our index of the keypair.
    #[inline]
    pub fn receiver(&self) -> u32 {
        le32::<{ data::RECEIVER }, _>(self.header)
    }

    /// The counter: the nonce.
    #[inline]
    pub fn counter(&self) -> u64 {
        u64::from_le_bytes(*field::<{ data::COUNTER }, _, _>(self.header))
    }

    /// The encrypted packet and its tag: 16 bytes at least.
    #[inline]
    pub fn encrypted_packet(&self) -> &'a [u8] {
        self.packet
    }

    /// Whether it carries no bytes.
    #[inline]
    pub fn is_keepalive(&self) -> bool {
        self.packet.len() == TAG_LEN
    }
}

/// What stands before an encrypted packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHeader;

impl DataHeader {
    /// Bytes of the header.
    pub const LEN: usize = data::PACKET;

    /// Writes type, the peer's index of the keypair, and counter.
    #[inline]
    pub fn write(out: &mut [u8; Self::LEN], receiver: u32, counter: u64) {
        set_field::<0, 4, _>(out, message_type::DATA.to_le_bytes());
        set_field::<{ data::RECEIVER }, 4, _>(out, receiver.to_le_bytes());
        set_field::<{ data::COUNTER }, 8, _>(out, counter.to_le_bytes());
    }
}

#[cfg(test)]
#[path = "wireguard_tests.rs"]
mod tests;

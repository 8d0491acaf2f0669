//! The handshake messages' fields: where they lie, with every bound checked at compile time.
//!
//! WireGuard paper, sections 5.4.2 (initiation), 5.4.3 (response) and 5.4.7 (cookie reply).

/// Bytes of a handshake initiation.
pub const INITIATION_LEN: usize = 148;
/// Bytes of a handshake response.
pub const RESPONSE_LEN: usize = 92;
/// Bytes of a cookie reply.
pub const COOKIE_REPLY_LEN: usize = 64;

/// Type byte and three reserved zeros, one 32-bit little-endian word.
pub(super) const TYPE: usize = 0;
/// Sender index of initiation and response; receiver index of a cookie reply.
pub(super) const INDEX: usize = 4;

/// The initiation's fields behind its index.
pub(super) mod initiation {
    pub(in crate::noise) const TYPE: u32 = 1;
    pub(in crate::noise) const EPHEMERAL: usize = 8;
    pub(in crate::noise) const STATIC: usize = 40;
    pub(in crate::noise) const TIMESTAMP: usize = 88;
    const _: () = assert!(TIMESTAMP + 12 + 16 + super::MACS_LEN == super::INITIATION_LEN);
}

/// The response's fields behind its index.
pub(super) mod response {
    pub(in crate::noise) const TYPE: u32 = 2;
    pub(in crate::noise) const RECEIVER: usize = 8;
    pub(in crate::noise) const EPHEMERAL: usize = 12;
    pub(in crate::noise) const NOTHING: usize = 44;
    const _: () = assert!(NOTHING + 16 + super::MACS_LEN == super::RESPONSE_LEN);
}

/// The cookie reply's fields behind its index.
pub(super) mod cookie_reply {
    pub(in crate::noise) const TYPE: u32 = 3;
    pub(in crate::noise) const NONCE: usize = 8;
    pub(in crate::noise) const COOKIE: usize = 32;
    const _: () = assert!(COOKIE + 16 + 16 == super::COOKIE_REPLY_LEN);
}

/// mac1 and mac2, at the end of initiation and response.
pub(super) const MACS_LEN: usize = 32;
/// Each of them.
pub(super) const MAC_LEN: usize = 16;

/// The `N` bytes at `AT` of a message of `L` bytes.
pub(super) fn field<const AT: usize, const N: usize, const L: usize>(message: &[u8; L]) -> [u8; N] {
    const { assert!(AT + N <= L) };
    let mut bytes = [0; N];
    bytes.copy_from_slice(&message[AT..AT + N]);
    bytes
}

/// Writes `bytes` at `AT` of a message of `L` bytes.
pub(super) fn put<const AT: usize, const N: usize, const L: usize>(message: &mut [u8; L], bytes: &[u8; N]) {
    const { assert!(AT + N <= L) };
    message[AT..AT + N].copy_from_slice(bytes);
}

/// The 32-bit little-endian word at `AT`.
pub(super) fn word<const AT: usize, const L: usize>(message: &[u8; L]) -> u32 {
    u32::from_le_bytes(field::<AT, 4, L>(message))
}

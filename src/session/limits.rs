//! The protocol's numbers (WireGuard paper, section 6; where it leaves freedom, as Linux has it). Times in milliseconds.

/// Messages after which either side asks for new keys.
pub const REKEY_AFTER_MESSAGES: u64 = 1 << 60;
/// Counters from here on are neither sent nor accepted: 2^64 - 8130, so that no sum with the window can wrap.
pub const REJECT_AFTER_MESSAGES: u64 = u64::MAX - REPLAY_WINDOW_USABLE - 1;
/// Age at which the initiator of a session asks for a new one when it sends.
pub const REKEY_AFTER_TIME_MS: u64 = 120_000;
/// Age from which a session is used no more.
pub const REJECT_AFTER_TIME_MS: u64 = 180_000;
/// Time between two initiations of ours to one peer.
pub const REKEY_TIMEOUT_MS: u64 = 5_000;
/// Up to this much is added to [`REKEY_TIMEOUT_MS`], uniformly, so that two peers do not keep colliding.
pub const REKEY_TIMEOUT_JITTER_MAX_MS: u64 = 333;
/// Silence after received data that a keepalive answers.
pub const KEEPALIVE_TIMEOUT_MS: u64 = 10_000;
/// For so long a handshake is tried again.
pub const REKEY_ATTEMPT_TIME_MS: u64 = 90_000;
/// Retries before we give up; with the first attempt and the one that notices, 20 initiations.
pub const MAX_TIMER_HANDSHAKES: u64 = REKEY_ATTEMPT_TIME_MS / REKEY_TIMEOUT_MS;
/// Age at which the initiator asks for a new session when it only receives: late enough not to race the sender's
/// rekeying, early enough for one more try before the end.
pub const REKEY_ON_RECEIVE_MS: u64 = REJECT_AFTER_TIME_MS - KEEPALIVE_TIMEOUT_MS - REKEY_TIMEOUT_MS;
/// Time after the last session at which all of a peer's key material is wiped.
pub const ZERO_KEYS_AFTER_MS: u64 = 3 * REJECT_AFTER_TIME_MS;
/// Initiations of one peer that are accepted lie this far apart: 50 a second.
pub const INITIATION_SPACING_MS: u64 = 1_000 / 50;
/// Age at which the secret behind the cookies that we give out changes.
pub const COOKIE_SECRET_MAX_AGE_MS: u64 = 120_000;
/// Time by which a cookie counts as older with whom it was given to, for its way.
pub const COOKIE_SECRET_LATENCY_MS: u64 = 5_000;
/// Age up to which a cookie that we were given is used.
pub const COOKIE_USABLE_MS: u64 = COOKIE_SECRET_MAX_AGE_MS - COOKIE_SECRET_LATENCY_MS;

/// Bits of the replay window's ring.
pub const REPLAY_WINDOW_BITS: u64 = 8192;
/// So far behind the greatest counter a message is still accepted: one word less, since the ring moves by words.
pub const REPLAY_WINDOW_USABLE: u64 = REPLAY_WINDOW_BITS - u64::BITS as u64;

const _: () = {
    assert!(REJECT_AFTER_MESSAGES == 0_u64.wrapping_sub(8130));
    assert!(REKEY_AFTER_MESSAGES < REJECT_AFTER_MESSAGES);
    assert!(REPLAY_WINDOW_BITS.is_power_of_two() && REPLAY_WINDOW_USABLE == 8128);
    // The window adds both of these to a counter that it accepts.
    assert!((REJECT_AFTER_MESSAGES - 1).checked_add(1 + REPLAY_WINDOW_USABLE).is_some());
    assert!(REKEY_AFTER_TIME_MS < REKEY_ON_RECEIVE_MS && REKEY_ON_RECEIVE_MS == 165_000);
    assert!(REKEY_ON_RECEIVE_MS < REJECT_AFTER_TIME_MS && REJECT_AFTER_TIME_MS < ZERO_KEYS_AFTER_MS);
    // All tries of one handshake may take place before a session that is due for rekeying is wiped.
    assert!(REKEY_AFTER_TIME_MS + REKEY_ATTEMPT_TIME_MS < ZERO_KEYS_AFTER_MS);
    assert!(REKEY_TIMEOUT_JITTER_MAX_MS < REKEY_TIMEOUT_MS && MAX_TIMER_HANDSHAKES == 18);
    assert!(INITIATION_SPACING_MS == 20 && INITIATION_SPACING_MS < REKEY_TIMEOUT_MS);
    assert!(COOKIE_USABLE_MS == 115_000);
};

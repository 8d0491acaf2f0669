//! decap: what an incoming data message needs before its tag is checked.

use super::DropReason;
use crate::aead::Job;
use crate::frame::Meta;
use crate::session::Keypair;
use crate::wire::wireguard::DataHeader;

/// The opening of one data message: `data` is the UDP payload. Notes the counter and the keypair for release.
/// Order as PROTOCOL A5: the keypair is valid, young enough and below its limit; then the tag; all else after it, in order.
pub(super) fn job<'a>(
    meta: &mut Meta,
    data: &'a mut [u8],
    keypair: Option<&'a Keypair>,
    now_ms: u64,
) -> Result<Job<'a>, DropReason> {
    let keypair = keypair.ok_or(DropReason::UnknownIndex)?;
    let (header, sealed) = data.split_at_mut_checked(DataHeader::LEN).ok_or(DropReason::BadMessage)?;
    let counter = header.last_chunk::<8>().map_or(u64::MAX, |c| u64::from_le_bytes(*c));
    if !keypair.may_receive(now_ms, counter) {
        return Err(DropReason::SessionExpired);
    }
    keypair.replay().prefetch(counter);
    meta.counter = counter;
    meta.keypair_serial = keypair.serial();
    Ok(Job::new(keypair.receive_key(), counter, sealed))
}

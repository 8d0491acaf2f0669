//! Sessions over a restart: kept by the service manager between the end of one culvertd and the start of the next, in memory alone.
//!
//! The end ([`Handover::keep`]): the data path is drained, [`capture`] writes into a memory file, which is sealed and goes into the service
//! manager's fd store. The start ([`take_over`]): what the manager hands back is taken once, leaves the store, and only then [`restore`]
//! reads it, before any thread that sends runs. A culvertd that crashes leaves nothing there.
//!
//! [`capture`]: crate::control::handover::capture
//! [`restore`]: crate::control::handover::restore

mod memory;
mod store;
mod swap;

use super::tables::Tables;
use super::{Pool, systemd};
use crate::control::context::Context;
use crate::control::handover::{self, Captured, Refused};
use crate::queue::{Domain, sync::Arc};
use memory::{Sessions, Taken};
use std::io;
use std::time::{Duration, Instant};

/// How long packets that came may take to be worked off before sessions end under them.
const QUIET: Duration = Duration::from_millis(500);
/// How often it is looked whether they are.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// So often in a row.
const LOOKS: u32 = 5;

/// What a gateway needs to hand its sessions over when it ends.
#[derive(Debug)]
pub(super) struct Handover {
    context: Arc<Context<Pool>>,
    domain: Arc<Domain>,
}

/// Why sessions are not handed over.
#[derive(Debug, thiserror::Error)]
enum Why {
    #[error(
        "this machine swaps to {0}, and keys are never written to disk: take it out (swapoff, /etc/fstab), or encrypt it"
    )]
    Swap(String),
    #[error("no place is left in the grace-period count")]
    Readers,
    #[error("the memory that they lie in: {0}")]
    Memory(io::Error),
    #[error("the service manager: {0}")]
    Manager(io::Error),
    #[error("{0}")]
    Refused(#[from] Refused),
    #[error("/proc/sys/kernel/random/boot_id: {0}")]
    Boot(io::Error),
    #[error("the service manager has {0} sets of them, and nobody knows which is the last")]
    Many(usize),
}

impl Handover {
    pub(super) fn new(tables: &Tables) -> Self {
        Self { context: Arc::clone(&tables.context), domain: Arc::clone(&tables.domain) }
    }

    /// Gives the sessions to the service manager, if there is one, and logs what became of it. No port is received from any more; `is_quiet`
    /// says whether all that came is worked off. From then on nothing is sent to peers. Main thread; blocks.
    pub(super) fn keep(&self, is_quiet: impl Fn() -> bool) {
        if !store::is_there() {
            return tracing::info!("sessions end here: there is no service manager to keep them ($NOTIFY_SOCKET)");
        }
        if let Some(device) = swap::disk() {
            return tracing::warn!("sessions end here: {}", Why::Swap(device));
        }
        wait(is_quiet);
        let began = Instant::now();
        match self.hand_over() {
            Ok(None) => tracing::debug!("there are no sessions to keep"),
            Ok(Some((captured, bytes))) => tracing::info!(
                "sessions of {} of {} peers are kept for the next start: {} KiB, {:.2} s",
                captured.sessions,
                captured.peers,
                bytes >> 10,
                began.elapsed().as_secs_f64()
            ),
            Err(why) => tracing::warn!("sessions end here: {why}"),
        }
    }

    /// `None`: there are none.
    fn hand_over(&self) -> Result<Option<(Captured, u64)>, Why> {
        let boot = boot()?;
        let reader = self.domain.register().ok_or(Why::Readers)?;
        let memory = Sessions::create().map_err(Why::Memory)?;
        let (memory, captured) = handover::capture(&self.context, reader, boot, memory).map_err(Why::Memory)?;
        if captured == Captured::default() {
            return Ok(None);
        }
        let (sealed, bytes) = memory.seal().map_err(Why::Memory)?;
        store::put(&sealed).map_err(Why::Manager)?;
        Ok(Some((captured, bytes)))
    }
}

/// Takes over what the culvertd before this one has left with the service manager, and logs what became of it: into `tables`, whose peers are
/// there and whose threads do not run yet. With `wanted` false, or whatever goes wrong, it is thrown away and clients make new
/// sessions. Main thread; blocks.
pub(super) fn take_over(tables: &Tables, wanted: bool) {
    let left = store::left();
    if left.is_empty() {
        return;
    }
    systemd::starting("takes sessions over");
    let began = Instant::now();
    match taken(left, wanted).and_then(|taken| taken.map(|taken| restore(tables, taken)).transpose()) {
        Ok(None) => tracing::info!("sessions of the culvertd before are thrown away: keep_sessions is false"),
        Ok(Some(restored)) => tracing::info!("sessions: {restored}; {:.2} s", began.elapsed().as_secs_f64()),
        Err(why) => tracing::warn!("sessions of the culvertd before are thrown away: {why}"),
    }
}

/// The one set that is there, marked as taken and out of the store.
fn taken(left: Vec<io::Result<Sessions>>, wanted: bool) -> Result<Option<Taken>, Why> {
    let count = left.len();
    // All of them are marked first: if this process ends in between, the next one does not use them either.
    let mut taken: Vec<_> = left.into_iter().map(|sessions| sessions.and_then(Sessions::take)).collect();
    store::remove().map_err(Why::Manager)?;
    match (taken.pop(), count) {
        _ if !wanted => Ok(None),
        (Some(taken), 1) => taken.map(Some).map_err(Why::Memory),
        _ => Err(Why::Many(count)),
    }
}

fn restore(tables: &Tables, taken: Taken) -> Result<handover::Restored, Why> {
    let boot = boot()?;
    let reader = tables.domain.register().ok_or(Why::Readers)?;
    Ok(handover::restore(&tables.context, reader, boot, taken)?)
}

/// Until what came is worked off, or [`QUIET`] is over.
fn wait(is_quiet: impl Fn() -> bool) {
    let deadline = Instant::now() + QUIET;
    let mut looks = 0;
    while looks < LOOKS && Instant::now() < deadline {
        std::thread::sleep(LOOK_EVERY);
        looks = if is_quiet() { looks + 1 } else { 0 };
    }
}

/// The kernel's boot id.
fn boot() -> Result<u128, Why> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(Why::Boot)?;
    u128::from_str_radix(&text.trim().replace('-', ""), 16).map_err(|error| Why::Boot(io::Error::other(error)))
}

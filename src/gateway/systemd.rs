//! What systemd is told ($NOTIFY_SOCKET, sd_notify(3)): how far the start is, that it is ready, reloads, stops, lives. Where nobody listens it goes
//! nowhere. The main thread and the watchdog's.

use sd_notify::NotifyState;
use std::time::Duration;

/// How much longer a start may take from each word about it on, microseconds.
const PATIENCE_US: u32 = 120_000_000;

/// The gateway is not ready yet; this is what it is at.
pub(super) fn starting(what: &str) {
    tell(&[NotifyState::Status(what), NotifyState::ExtendTimeoutUsec(PATIENCE_US)]);
}

/// Ports are up and peers are loaded.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The files are read again; [`ready`] ends it (`Type=notify-reload`).
pub fn reloading() {
    let now = NotifyState::monotonic_usec_now();
    let status = NotifyState::Status("reads its files again");
    match now {
        Ok(now) => tell(&[NotifyState::Reloading, now, status]),
        Err(_) => tell(&[NotifyState::Reloading, status]),
    }
}

/// The gateway drains.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// What the gateway does, for `systemctl status`; `alive` feeds the watchdog too.
pub(super) fn status(alive: bool, status: &str) {
    let status = NotifyState::Status(status);
    if alive { tell(&[NotifyState::Watchdog, status]) } else { tell(&[status]) }
}

/// How often the watchdog wants to be fed, if there is one.
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|period| !period.is_zero())
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("systemd was not told: {error}");
    }
}

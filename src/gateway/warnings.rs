//! Warnings of the log as events.

use super::logs::NAMED;
use crate::control::events::Events;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;

static EVENTS: Mutex<Option<Arc<Events>>> = Mutex::new(None);

/// Whom warnings are told too, from now on: the gateway that started last. Main thread.
pub(super) fn tell(events: Arc<Events>) {
    *EVENTS.lock().unwrap_or_else(PoisonError::into_inner) = Some(events);
}

/// Has warnings and errors among a gateway's events.
#[derive(Debug)]
pub(super) struct Warnings;

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if *event.metadata().level() > Level::WARN {
            return;
        }
        let events = EVENTS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(events) = events {
            let mut text = Text(String::new());
            event.record(&mut text);
            events.warn(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), &text.0);
        }
    }
}

/// A line: its message, and by name what that does not say.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name if NAMED.contains(&name) => Ok(()),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

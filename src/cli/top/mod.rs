//! `top`: what the gateway does, anew every second, on a terminal of 80 by 24 or more.
//!
//! ```text
//! socket ▶ Sample (now) ─┐
//!          Sample (last) ┴▶ Figures ▶ view ▶ the terminal's other screen
//! ```

mod figures;
mod view;

use super::ask::{AskError, ask_desk};
use super::front::{Failure, Outcome, Settings, TICK};
use crate::api::{PeerSort, Request};
use figures::{Figures, Order, Sample};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How often it looks without `--watch`.
const PERIOD: Duration = Duration::from_secs(1);
/// The gateway may be busy with us for one part in so many.
const SHARE: u32 = 10;
/// Peers that are asked for: the fastest, whichever way.
const PEERS: u32 = 100;

/// Draws until `q`, Esc or Ctrl-C is typed, or the gateway is gone.
pub(super) fn top(settings: &Settings) -> Result<(), Failure> {
    if !std::io::stdout().is_terminal() {
        let why = "top draws on a terminal; for programs there are --watch --json show report and show peers sort rate";
        return Err(Failure(Outcome::Failed, why.to_owned()));
    }
    // Without a gateway nothing is drawn.
    let first = look(settings)?;
    let broken = |error: std::io::Error| Failure(Outcome::Failed, format!("the terminal: {error}"));
    let signals = Signals::caught(settings).map_err(broken)?;
    // Relaxed: a signal's time is anyone's guess.
    signals.idle.store(false, Relaxed);
    let ended = match ratatui::try_init() {
        Ok(mut terminal) => follow(&mut terminal, settings, first),
        Err(error) => Err(broken(error)),
    };
    let restored = ratatui::try_restore();
    signals.idle.store(true, Relaxed);
    if let Ok(signal @ 1..) = i32::try_from(signals.came.load(Relaxed)) {
        signal_hook::low_level::emulate_default_handler(signal).map_err(broken)?;
    }
    ended.and_then(|()| restored.map_err(broken))
}

/// Signals end top first while it draws: a process that they end would leave the terminal raw, and another screen on it.
struct Signals {
    /// Nothing is drawn: SIGTERM and SIGHUP end the process at once, as ever.
    idle: Arc<AtomicBool>,
    /// Which of them came while something was drawn; 0: none.
    came: Arc<AtomicUsize>,
}

impl Signals {
    /// Once a process: what is registered stays, and the shell may draw again.
    fn caught(settings: &Settings) -> std::io::Result<&'static Self> {
        static CAUGHT: OnceLock<Signals> = OnceLock::new();
        if let Some(caught) = CAUGHT.get() {
            return Ok(caught);
        }
        let signals = Self { idle: Arc::new(AtomicBool::new(true)), came: Arc::default() };
        for (signal, number) in [(SIGTERM, SIGTERM as usize), (SIGHUP, SIGHUP as usize)] {
            flag::register_conditional_default(signal, Arc::clone(&signals.idle))?;
            flag::register_usize(signal, Arc::clone(&signals.came), number)?;
            flag::register(signal, Arc::clone(&settings.interrupted))?;
        }
        flag::register(SIGINT, Arc::clone(&settings.interrupted))?;
        Ok(CAUGHT.get_or_init(|| signals))
    }
}

fn follow(terminal: &mut DefaultTerminal, settings: &Settings, mut last: Sample) -> Result<(), Failure> {
    let period = settings.watch.unwrap_or(PERIOD);
    let mut figures = Figures::between(&last, &last);
    let mut order = Order::Both;
    let mut next = Instant::now() + period;
    while !settings.is_interrupted() {
        let now = Instant::now();
        if now >= next {
            let sample = look(settings)?;
            // Many peers take long: then it is asked for less often.
            next = now + period.max(now.elapsed().saturating_mul(SHARE));
            figures = Figures::between(&last, &sample);
            last = sample;
        }
        figures.sort(order);
        terminal.draw(|frame| view::draw(frame, &figures, order, settings.bold))?;
        if event::poll(next.saturating_duration_since(Instant::now()).min(TICK * 5))? {
            match key(&event::read()?) {
                Some(Key::Quit) => break,
                Some(Key::Sort(by)) => order = by,
                None => {}
            }
        }
    }
    Ok(())
}

fn look(settings: &Settings) -> Result<Sample, AskError> {
    let report = ask_desk(settings, &Request::ShowReport)?;
    let (sort, limit) = (PeerSort::Rate, Some(PEERS));
    let peers = ask_desk(settings, &Request::ShowPeers { sort, limit, matching: None, interface: None })?;
    Ok(Sample { at: Instant::now(), report, peers })
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Quit,
    Sort(Order),
}

fn key(event: &Event) -> Option<Key> {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else { return None };
    match code {
        KeyCode::Char('q') | KeyCode::Esc => Some(Key::Quit),
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Quit),
        KeyCode::Char('r') => Some(Key::Sort(Order::Receives)),
        KeyCode::Char('s') => Some(Key::Sort(Order::Sends)),
        KeyCode::Char('b') => Some(Key::Sort(Order::Both)),
        _ => None,
    }
}

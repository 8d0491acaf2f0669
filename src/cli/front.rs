//! What all front ends share: one line in, its output and outcome out.

use super::ask::{AskError, Lab, ask_desk, order};
use super::complete::next;
use super::help::{about, overview, what_next};
use super::line::{Line, Sieve};
use super::render::{emphasis, render};
use super::table::{Action, Answer, Command, grammar};
use super::{batch, flags, lab_text, parse::Given};
use crate::api::Request;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::io::Write;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often an interrupted wait is noticed.
pub(super) const TICK: Duration = Duration::from_millis(50);

/// What flags say; a line of a file or the shell starts with those of the program.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The gateway's socket.
    pub(super) socket: PathBuf,
    /// Answers as JSON.
    pub(super) json: bool,
    /// Again and again.
    pub(super) watch: Option<Duration>,
    /// A file of commands.
    pub(super) file: Option<String>,
    /// It ends at the first that fails.
    pub(super) stop: bool,
    /// Its commands are written.
    pub(super) echo: bool,
    /// Help is wanted.
    pub(super) help: bool,
    /// The version is wanted.
    pub(super) version: bool,
    /// Whether the output is a terminal that shows bold.
    pub(super) bold: bool,
    /// How deep files load files.
    pub(super) depth: u8,
    /// Which line of which file this is, as `FILE:LINE: `; empty outside of files.
    pub(super) place: String,
    /// What forwards in this process (`culvert pmd`), and answers in the gateway's place.
    pub(super) lab: Option<Rc<RefCell<dyn Lab>>>,
    /// Ctrl-C in the shell: ends what goes on and on, and not the shell. Of a lab, SIGINT or SIGTERM: ends everything.
    pub(super) interrupted: Arc<AtomicBool>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/run/culvert/culvert.sock"),
            json: false,
            watch: None,
            file: None,
            stop: false,
            echo: false,
            help: false,
            version: false,
            bold: false,
            depth: 0,
            place: String::new(),
            lab: None,
            interrupted: Arc::default(),
        }
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// Well.
    Done,
    /// Well, and the shell ends.
    Quit,
    /// The gateway, or what the command did, refused.
    Failed,
    /// There is no such command.
    Usage,
    /// Nobody to ask.
    NoGateway,
}

impl Settings {
    /// Whether Ctrl-C was typed since the line was.
    pub(super) fn is_interrupted(&self) -> bool {
        // Relaxed: a signal's time is anyone's guess, and no memory hangs on it.
        self.interrupted.load(Ordering::Relaxed)
    }

    /// For a line of a file: what was said of the file holds for it, but for what was done already.
    pub(super) fn of_file(&self) -> Self {
        Self { depth: self.depth + 1, file: None, watch: None, help: false, version: false, ..self.clone() }
    }
}

impl Outcome {
    /// The exit code.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Done | Self::Quit => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NoGateway => 3,
        }
    }

    /// Whether it ended well.
    pub(super) fn is_good(self) -> bool {
        self.code() == 0
    }
}

/// Why a command of this process did not end well: how, and in which words; without words it is only over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure(pub(super) Outcome, pub(super) String);

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        let none = matches!(error, AskError::NoGateway { .. });
        Self(if none { Outcome::NoGateway } else { Outcome::Failed }, error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    /// Who reads no more (`| head`) has had enough.
    fn from(_: std::io::Error) -> Self {
        Self(Outcome::Failed, String::new())
    }
}

/// Where a front end writes.
#[derive(Debug)]
pub(super) struct Output<O, E> {
    /// Answers.
    pub(super) out: O,
    /// What went wrong.
    pub(super) err: E,
}

impl<O: Write, E: Write> Output<O, E> {
    /// Does one line.
    pub(super) fn run(&mut self, line: Line, settings: &Settings) -> Outcome {
        let Line { words, filters } = line;
        let is_blank = words.is_empty();
        let (words, settings) = match flags::take(words, settings.clone()) {
            Ok(taken) => taken,
            Err(why) => return self.fail(settings, Outcome::Usage, &why),
        };
        if let Some(outcome) = self.flags_alone(&words, &settings) {
            return outcome;
        }
        if words.is_empty() {
            let nothing = "flags, and no command: culvert help lists them";
            return if is_blank { Outcome::Done } else { self.fail(&settings, Outcome::Usage, nothing) };
        }
        // `show ?` lists what may come next; in the shell the key alone does.
        if let Some((mark, before)) = words.split_last()
            && mark == "?"
        {
            return match next(before) {
                Ok((nexts, complete)) => self.write(&what_next(&nexts, complete), Outcome::Done),
                Err(mistake) => self.fail(&settings, Outcome::Usage, &mistake.to_string()),
            };
        }
        let line = Line { words, filters };
        let (command, given) = match grammar().parse(&line.words) {
            Ok(found) => found,
            Err(mistake) => return self.fail(&settings, Outcome::Usage, &mistake.to_string()),
        };
        if settings.help {
            return self.write(&about(command), Outcome::Done);
        }
        let by_itself = matches!(command.action, Action::Follow(_));
        let Some(period) = settings.watch.filter(|_| !by_itself) else {
            return self.once(command, &given, &line, &settings);
        };
        loop {
            let began = Instant::now();
            if settings.bold {
                let _gone = self.write("\x1b[H\x1b[2J", Outcome::Done);
            }
            let outcome = self.once(command, &given, &line, &settings);
            if outcome != Outcome::Done {
                return outcome;
            }
            while began.elapsed() < period && !settings.is_interrupted() {
                std::thread::sleep(TICK.min(period.saturating_sub(began.elapsed())));
            }
            if settings.is_interrupted() {
                return Outcome::Done;
            }
        }
    }

    /// What flags ask for by themselves; `None`: a command is to be done.
    pub(super) fn flags_alone(&mut self, words: &[String], settings: &Settings) -> Option<Outcome> {
        if settings.version {
            return Some(self.write(concat!("culvert ", env!("CARGO_PKG_VERSION"), "\n"), Outcome::Done));
        }
        if let Some(file) = &settings.file {
            let wrong = match settings.watch {
                _ if !words.is_empty() => "a command, or a file of commands, not both",
                Some(_) => "--watch takes a command, not a file: write it behind a command of the file",
                // Its `quit` ends the file, and not the shell in which it was named.
                None => match batch::file(self, file, settings) {
                    Outcome::Quit => return Some(Outcome::Done),
                    outcome => return Some(outcome),
                },
            };
            return Some(self.fail(settings, Outcome::Usage, wrong));
        }
        (words.is_empty() && settings.help).then(|| self.write(&overview(), Outcome::Done))
    }

    fn once(&mut self, command: &Command, given: &Given, line: &Line, settings: &Settings) -> Outcome {
        match command.action {
            Action::Local(run) => self.here(line, settings, |out| run(given, settings, out)),
            Action::Follow(run) => self.here(line, settings, |out| run(settings, out)),
            Action::Ask(request, shown) => self.told(line, settings, answer(&request(given), shown, settings)),
            Action::Send(request, shown) => {
                let told = request(given).and_then(|asked| answer(&asked, shown, settings));
                self.told(line, settings, told)
            }
            Action::Order(request, shown) => {
                let told = order(settings, &request(given)).map(|answer| text_of(&answer, shown, settings));
                self.told(line, settings, told.map_err(Failure::from))
            }
        }
    }

    /// What the gateway said.
    fn told(&mut self, line: &Line, settings: &Settings, told: Result<String, Failure>) -> Outcome {
        match told {
            Ok(text) => self.write(&line.filter(&text), Outcome::Done),
            Err(failure) => self.ended(settings, Err(failure)),
        }
    }

    /// What says much as it goes along is not held back.
    fn here(
        &mut self,
        line: &Line,
        settings: &Settings,
        run: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
    ) -> Outcome {
        let mut out = Sieve::new(&line.filters, &mut self.out);
        let ended = run(&mut out);
        let written = out.end().map_err(Failure::from);
        self.ended(settings, ended.and(written))
    }

    fn ended(&mut self, settings: &Settings, ended: Result<(), Failure>) -> Outcome {
        match ended {
            Ok(()) => Outcome::Done,
            Err(Failure(outcome, why)) if why.is_empty() => outcome,
            Err(Failure(outcome, why)) => self.fail(settings, outcome, &why),
        }
    }

    fn write(&mut self, text: &str, outcome: Outcome) -> Outcome {
        let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        if written.is_ok() { outcome } else { Outcome::Failed }
    }

    /// Says what went wrong.
    pub(super) fn fail(&mut self, settings: &Settings, outcome: Outcome, why: &str) -> Outcome {
        let why = format!("{}{why}", settings.place);
        let _nobody_reads = if settings.json {
            writeln!(self.err, "{}", json!({ "error": why }))
        } else {
            writeln!(self.err, "{}{why}", emphasis("culvert: ", settings.bold))
        };
        outcome
    }
}

/// What the gateway answers, as it is shown.
fn answer(request: &Request, shown: Answer, settings: &Settings) -> Result<String, Failure> {
    Ok(text_of(&ask_desk(settings, request)?, shown, settings))
}

fn text_of(answer: &Value, shown: Answer, settings: &Settings) -> String {
    if settings.json {
        return format!("{answer}\n");
    }
    // Of a lab: what a gateway tells in its own words is told in testpmd's.
    if settings.lab.is_some()
        && let Some(text) = lab_text::of(answer)
    {
        return text;
    }
    match shown {
        Answer::Parts(parts, _) => render(answer, parts, settings.bold),
        Answer::Text(text, _) => text(answer),
        Answer::Silent(_) => String::new(),
    }
}

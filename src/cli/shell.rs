//! The shell: a line at a time, with history, completion by Tab, and `?`, which lists what may come next without taking the line away.

use super::ask::ask_desk;
use super::complete::{candidates, next};
use super::front::{Outcome, Output, Settings};
use super::help;
use super::line::Line;
use crate::api::Request;
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{
    Cmd, CompletionType, ConditionalEventHandler, Context, Editor, Event, EventContext, EventHandler, ExternalPrinter,
    Helper, KeyEvent, RepeatCount,
};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

const PROMPT: &str = "culvert> ";
/// Lines that the history keeps.
const HISTORY: usize = 1000;

/// Reads and does lines until Ctrl-D or `quit`. The outcome is that of the shell, not of its lines.
pub(super) fn shell<O: Write, E: Write>(output: &mut Output<O, E>, settings: &Settings) -> Outcome {
    match open(settings) {
        Ok(editor) => read(editor, output, settings),
        Err(error) => output.fail(settings, Outcome::Failed, &format!("the terminal: {error}")),
    }
}

fn open(settings: &Settings) -> rustyline::Result<Editor<Words, FileHistory>> {
    let config = rustyline::Config::builder()
        .max_history_size(HISTORY)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        // A signal from elsewhere, too.
        .enable_signals(settings.lab.is_some())
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Words(settings.clone())));
    if let Some(lab) = &settings.lab {
        let mut printer = editor.create_external_printer()?;
        lab.borrow_mut().print_by(Box::new(move |text| {
            // Nobody is there any more to read it.
            let _gone = printer.print(text);
        }));
    }
    let printer = Mutex::new(editor.create_external_printer()?);
    editor.bind_sequence(KeyEvent::from('?'), EventHandler::Conditional(Box::new(Asked(printer))));
    Ok(editor)
}

fn read<O: Write, E: Write>(
    mut editor: Editor<Words, FileHistory>,
    output: &mut Output<O, E>,
    settings: &Settings,
) -> Outcome {
    let history = history_file();
    if let Some(path) = &history {
        // The first time there is none.
        let _none = editor.load_history(path);
    }
    // Only so that Ctrl-C ends a command that goes on and on, and not the shell.
    let interrupted = &settings.interrupted;
    let _without = signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(interrupted));
    if let Err(error) = ask_desk(settings, &Request::ShowMempool) {
        let _said = output.fail(settings, Outcome::NoGateway, &error.to_string());
    }
    loop {
        match editor.readline(PROMPT) {
            Ok(text) => {
                let _full = editor.add_history_entry(&text);
                // Of a lab everything ends by it, and it stays.
                if settings.lab.is_none() {
                    // Relaxed: see `Settings::is_interrupted`.
                    interrupted.store(false, Ordering::Relaxed);
                }
                let outcome = match Line::parse(&text) {
                    Ok(line) => output.run(line, settings),
                    Err(why) => output.fail(settings, Outcome::Usage, &why),
                };
                if outcome == Outcome::Quit || settings.lab.is_some() && settings.is_interrupted() {
                    break;
                }
            }
            // As in testpmd, Ctrl-C ends what forwards in this process.
            Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) if settings.lab.is_some() => break,
            // Ctrl-C takes the line away.
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return output.fail(settings, Outcome::Failed, &format!("the terminal: {error}")),
        }
    }
    if let Some(path) = &history {
        let _read_only = path.parent().map(std::fs::create_dir_all);
        let _read_only = editor.save_history(path);
    }
    Outcome::Done
}

/// Where the XDG base directory specification has it.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?;
    Some(state.join("culvert/history"))
}

/// The words of a line up to the cursor, the last one as far as it is typed, and where that begins. `None` within quotes.
fn words_before(line: &str, cursor: usize) -> Option<(Vec<String>, usize)> {
    let line = line.get(..cursor)?;
    let begin = line.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let (before, last) = line.split_at(begin);
    // Filters have their own words: only what comes behind the last | is looked at there.
    let mut words = match before.rfind('|') {
        Some(pipe) => {
            Line::parse(before.get(..pipe)?).ok()?;
            let mut words = vec!["|".to_owned()];
            words.extend(before.get(pipe + 1..)?.split_whitespace().map(str::to_owned));
            words
        }
        None => Line::parse(before).ok()?.words,
    };
    words.push(last.to_owned());
    Some((words, begin))
}

struct Words(Settings);

impl Completer for Words {
    type Candidate = Pair;

    fn complete(&self, line: &str, cursor: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let Some((words, begin)) = words_before(line, cursor) else { return Ok((cursor, Vec::new())) };
        let pair = |word: String| Pair { display: word.clone(), replacement: word + " " };
        Ok((begin, candidates(&words, &self.0).into_iter().map(|candidate| pair(candidate.word)).collect()))
    }
}

impl Helper for Words {}
impl Hinter for Words {
    type Hint = String;
}
impl Highlighter for Words {}
impl Validator for Words {}

/// `?`
struct Asked<P>(Mutex<P>);

impl<P: ExternalPrinter + Send + Sync> ConditionalEventHandler for Asked<P> {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, at: &EventContext<'_>) -> Option<Cmd> {
        let text = question(at.line(), at.pos())?;
        let shown = format!("{PROMPT}{}?\n{text}", at.line());
        let mut printer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // If it cannot be printed, the key stands for itself.
        printer.print(shown).ok()?;
        Some(Cmd::Noop)
    }
}

/// What `?` at this place of this line answers; `None`: it is a part of what is typed, as of a regular expression.
fn question(line: &str, cursor: usize) -> Option<String> {
    let (words, _) = words_before(line, cursor)?;
    let (last, before) = words.split_last()?;
    if before.iter().any(|word| word == "|") {
        return last.is_empty().then(|| "  include RE, exclude RE, count\n".to_owned());
    }
    Some(match next(before) {
        Ok((mut nexts, complete)) => {
            if !last.is_empty() {
                nexts.retain(|next| next.kind.is_none() && next.text.starts_with(last.as_str()));
                if nexts.is_empty() {
                    return None;
                }
            }
            help::what_next(&nexts, complete && last.is_empty())
        }
        Err(mistake) => format!("  {mistake}\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_what_is_typed_so_far() {
        let words = |line: &str| words_before(line, line.len()).map(|(words, at)| (words.join("/"), at));
        assert_eq!(words(""), Some((String::new(), 0)));
        assert_eq!(words("sh dr"), Some(("sh/dr".into(), 3)));
        assert_eq!(words("show "), Some(("show/".into(), 5)));
        assert_eq!(words("show drops | in"), Some(("|/in".into(), 13)));
        assert_eq!(words("show 'dr x"), None);
        assert_eq!(words_before("show drops", 6).unwrap().0, ["show", "d"]);
    }

    #[test]
    fn a_question_lists_what_may_come_next() {
        let all = question("show ", 5).unwrap();
        let first = all.lines().next().unwrap_or_default().trim_start();
        assert!(first.starts_with("port ") && all.contains("\n  drops ") && !all.contains("\n  clear "), "{all}");
        let some = question("show dr", 7).unwrap();
        assert!(some.contains("drops") && !some.contains("account"), "{some}");
        assert!(question("show drops ", 11).unwrap().contains("<Enter>"));
        assert!(question("shw ", 4).unwrap().contains("did you mean show"));
        assert_eq!(question("show nothing-begins-so", 22), None);
        assert_eq!(question("show drops | include a", 22), None, "a part of the expression");
    }
}

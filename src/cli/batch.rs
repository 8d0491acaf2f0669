//! Commands from a file or the standard input, a line each.

use super::front::{Failure, Outcome, Output, Settings};
use super::line::Line;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};

/// Bytes of a line, at most.
const LONGEST_LINE: usize = 64 * 1024;
/// How deep files may load files.
const DEEPEST: u8 = 8;

/// Does the lines of `settings.file` (`-`: the standard input).
pub(super) fn file<O: Write, E: Write>(output: &mut Output<O, E>, name: &str, settings: &Settings) -> Outcome {
    if settings.depth >= DEEPEST {
        return output.fail(settings, Outcome::Failed, &format!("{name}: files load files more than {DEEPEST} deep"));
    }
    let mut settings = settings.of_file();
    if name == "-" {
        return lines(output, std::io::stdin().lock(), "-", &mut settings);
    }
    match File::open(name) {
        Ok(file) => lines(output, BufReader::new(file), name, &mut settings),
        Err(error) => output.fail(&settings, Outcome::Failed, &format!("{name}: {error}")),
    }
}

/// The same from the table: `load FILE`, which ends at the first command that fails.
pub(super) fn load(name: &str, settings: &Settings, out: &mut dyn Write) -> Result<(), Failure> {
    let settings = Settings { stop: true, ..settings.clone() };
    match file(&mut Output { out, err: std::io::stderr() }, name, &settings) {
        outcome if outcome.is_good() => Ok(()),
        // It was said already.
        outcome => Err(Failure(outcome, String::new())),
    }
}

/// Does line for line. The outcome is the first one that was not good, else [`Outcome::Quit`] if a line said so.
pub(super) fn lines<O: Write, E: Write>(
    output: &mut Output<O, E>,
    mut reader: impl BufRead,
    name: &str,
    settings: &mut Settings,
) -> Outcome {
    let mut worst = Outcome::Done;
    for number in 1.. {
        settings.place = format!("{name}:{number}: ");
        let text = match read_line(&mut reader) {
            Ok(None) => break,
            Ok(Some(text)) => text,
            Err(why) => return output.fail(settings, Outcome::Failed, &why),
        };
        if settings.is_interrupted() {
            return output.fail(settings, Outcome::Failed, "ended here by Ctrl-C");
        }
        let outcome = match Line::parse(&text) {
            Ok(line) => {
                if settings.echo && !line.words.is_empty() {
                    let _gone = writeln!(output.out, "culvert> {}", text.trim());
                }
                output.run(line, settings)
            }
            Err(why) => output.fail(settings, Outcome::Usage, &why),
        };
        if outcome == Outcome::Quit {
            return if worst.is_good() { Outcome::Quit } else { worst };
        }
        if !outcome.is_good() {
            if worst.is_good() {
                worst = outcome;
            }
            if settings.stop {
                break;
            }
        }
    }
    worst
}

/// A line of text; `None` at the end. Long or binary ones are refused before they are held.
fn read_line(reader: &mut impl BufRead) -> Result<Option<String>, String> {
    let mut line = Vec::new();
    let limit = u64::try_from(LONGEST_LINE + 1).unwrap_or(u64::MAX);
    let read = reader.by_ref().take(limit).read_until(b'\n', &mut line).map_err(|error| error.to_string())?;
    if read == 0 {
        return Ok(None);
    }
    if line.len() > LONGEST_LINE {
        return Err(format!("a line of more than {LONGEST_LINE} bytes"));
    }
    String::from_utf8(line).map(Some).map_err(|_| "this is not text".to_owned())
}

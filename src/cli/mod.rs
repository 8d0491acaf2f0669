//! What `culvert` does. One table of commands ([`table`]) and what comes from it: parser, completion, help, manual; the front ends that
//! read lines (arguments, files, the shell); and how a gateway is asked and its answer shown.
//!
//! ```text
//! arguments ─┐                                      ┌ Local: this process
//! file ──────┼▶ line ▶ flags ▶ parse (table) ▶ front ┤
//! shell ─────┘                                      └ Ask: api::Request ▶ control socket ▶ JSON ▶ render
//! ```

mod arguments;
mod ask;
mod batch;
mod complete;
mod config_check;
mod demo;
mod docs;
mod flags;
mod front;
mod help;
pub mod lab;
mod lab_text;
mod line;
mod manual;
mod monitor;
mod parse;
mod pattern;
mod pmd;
mod render;
mod shell;
mod table;
mod testpmd;
mod top;

pub use arguments::GatewayArguments;
pub use ask::{AskError, ask};
pub use demo::demo;

use front::{Outcome, Output, Settings};
use line::Line;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

/// The program `culvert`: these arguments, without its own name. Main thread.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let terminal = std::io::stdout().is_terminal();
    let bold = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let settings = Settings { bold, ..Settings::default() };
    let mut output = Output { out: std::io::stdout(), err: std::io::stderr() };
    let words = arguments.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    ExitCode::from(begin(&mut output, words, &settings).code())
}

fn begin(output: &mut Output<std::io::Stdout, std::io::Stderr>, words: Vec<String>, settings: &Settings) -> Outcome {
    // What stands behind it is the EAL's and testpmd's.
    if let [first, rest @ ..] = &words[..]
        && first == "pmd"
        && !matches!(rest, [one] if one == "--help" || one == "-h")
    {
        return pmd::pmd(output, rest, settings);
    }
    // Flags of the program; those of the command are among them, and do no harm twice.
    let (rest, flags) = match flags::take(words.clone(), settings.clone()) {
        Ok(taken) => taken,
        Err(why) => return output.fail(settings, Outcome::Usage, &why),
    };
    if let Some(outcome) = output.flags_alone(&rest, &flags) {
        return outcome;
    }
    if rest.is_empty() {
        // Whoever types gets a shell.
        let typed = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        return if typed { shell::shell(output, &flags) } else { batch::file(output, "-", &flags) };
    }
    // One word with blanks in it is a line.
    let line = match &rest[..] {
        [one] if one.contains(char::is_whitespace) => Line::parse(one),
        _ => Line::of_arguments(words),
    };
    match line {
        Ok(line) => output.run(line, &flags),
        Err(why) => output.fail(&flags, Outcome::Usage, &why),
    }
}

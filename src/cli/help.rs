//! `help`, and what `?` says.

use super::front::{Failure, Outcome};
use super::parse::{Given, Next};
use super::table::{Action, Command, Section, grammar};
use std::fmt::Write as _;
use std::io::Write;

/// `help [SECTION]...`: the sections, the commands of one, or all about the commands that begin so.
pub(super) fn help(given: &Given, out: &mut dyn Write) -> Result<(), Failure> {
    let words: Vec<String> = given.all("SECTION").map(str::to_owned).collect();
    let text = match &words[..] {
        [] => overview(),
        [one] if section(one).is_some() => section(one).map(commands_of).unwrap_or_default(),
        _ => match grammar().beginning_with(&words) {
            Ok(commands) => match commands[..] {
                [one] => about(one),
                _ => list(commands),
            },
            Err(mistake) => return Err(Failure(Outcome::Usage, mistake.to_string())),
        },
    };
    Ok(write!(out, "{text}")?)
}

fn section(word: &str) -> Option<Section> {
    let mut named = Section::ALL.into_iter().filter(|section| section.name().starts_with(word));
    named.next().filter(|section| named.next().is_none() || section.name() == word)
}

fn commands_of(section: Section) -> String {
    list(grammar().commands().filter(|command| command.section == section).collect())
}

/// The sections and the flags.
pub(super) fn overview() -> String {
    let mut text =
        String::from("culvert [FLAG]... [COMMAND]   without a command: a shell\n\nhelp SECTION lists commands:\n");
    for section in Section::ALL {
        let _ = writeln!(text, "  {:<12} {}", section.name(), section.about());
    }
    text.push_str(
        "\nWords may be cut short: sh dr. Behind a command: | include RE, | exclude RE, | count.\n\nFlags:\n",
    );
    for (name, what) in flags() {
        let _ = writeln!(text, "  {name:<22} {what}");
    }
    text.push_str("\nExit code: 0 done, 1 failed, 2 no such command, 3 no gateway.\n");
    text
}

/// The flags as people read them, and what they do.
pub(super) fn flags() -> impl Iterator<Item = (String, &'static str)> {
    use super::flags::{FLAGS, Value};
    FLAGS.iter().map(|flag| {
        let short = if flag.short.is_empty() { String::new() } else { format!("{}, ", flag.short) };
        let value = match flag.value {
            Value::None => String::new(),
            Value::One(what) => format!(" {what}"),
            Value::Maybe(what) => format!("[={what}]"),
        };
        (format!("{short}{}{value}", flag.long), flag.help)
    })
}

fn list(commands: Vec<&'static Command>) -> String {
    let width = commands.iter().map(|command| command.usage.len()).max().unwrap_or(0).min(48);
    let line = |command: &&Command| {
        // What has many words stands on a line of its own.
        let gap = if command.usage.len() > width { format!("\n{:width$}    ", "") } else { "  ".to_owned() };
        format!("  {:<width$}{gap}{}\n", command.usage, command.help)
    };
    commands.iter().map(line).collect()
}

/// All about one command.
pub(super) fn about(command: &Command) -> String {
    let more = if command.more.is_empty() { String::new() } else { format!("\n{}\n", command.more) };
    let keys = match command.action {
        Action::Ask(_, answer) | Action::Send(_, answer) => {
            format!("\nKeys of its JSON: {}\n", answer.keys().join(", "))
        }
        Action::Order(_, answer) => format!("\nKeys of its JSON, in culvert pmd: {}\n", answer.keys().join(", ")),
        Action::Local(_) | Action::Follow(_) => String::new(),
    };
    format!("{}\n  {}\n{more}{keys}", command.usage, command.help)
}

/// What `?` answers after some words: what may come next, and what it is for.
pub(super) fn what_next(nexts: &[Next], complete: bool) -> String {
    let mut lines: Vec<(&str, String)> = nexts.iter().map(|next| (next.text, next.about())).collect();
    if complete {
        lines.push(("<Enter>", "as it stands".to_owned()));
    }
    let width = lines.iter().map(|(text, _)| text.len()).max().unwrap_or(0);
    lines.into_iter().map(|(text, about)| format!("  {text:<width$}  {about}\n")).collect()
}

impl Next {
    /// What it is for: the help of the one command that goes on with it, or where several go on.
    pub(super) fn about(&self) -> String {
        if let Some(kind) = self.kind {
            return kind.what().to_owned();
        }
        if let [one] = self.commands[..] {
            return if self.optional { String::new() } else { one.help.to_owned() };
        }
        let mut sections: Vec<&str> = self.commands.iter().map(|command| command.section.name()).collect();
        sections.dedup();
        format!("{} commands: {}", self.commands.len(), sections.join(", "))
    }
}

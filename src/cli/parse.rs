//! From words to a command: unique prefixes, what may come next, and what was probably meant.

use super::flags::FLAGS;
use super::pattern::{Atom, Kind, Pattern};
use super::table::Command;

/// What people gave: the words that stood for themselves, and the arguments by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Given(Vec<(&'static str, String)>);

impl Given {
    /// The argument of this name, as `PORT`.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    /// All arguments of this name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    /// What came last, words in full.
    pub(super) fn last(&self) -> Option<&str> {
        self.0.last().map(|(_, value)| value.as_str())
    }

    /// Whether this word stood there, in full or short.
    pub(super) fn has(&self, word: &str) -> bool {
        self.0.iter().any(|(n, _)| *n == word)
    }

    /// The argument behind this word: `limit N`.
    pub(super) fn after(&self, word: &'static str) -> Option<&str> {
        self.all_after(word).next()
    }

    /// The same of a group that came more than once.
    pub(super) fn all_after(&self, word: &'static str) -> impl Iterator<Item = &str> {
        let behind = self.0.iter().zip(self.0.iter().skip(1));
        behind.filter(move |((n, _), _)| *n == word).map(|(_, (_, value))| value.as_str())
    }
}

/// Why words are no command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mistake {
    /// Nothing there begins so.
    #[error("there is no {word:?} {}{}", place(before), meant(guesses, expected))]
    Unknown {
        /// The word.
        word: String,
        /// What stands before it.
        before: String,
        /// What was probably meant.
        guesses: Vec<&'static str>,
        /// What may stand there.
        expected: Vec<String>,
    },
    /// An argument that is none.
    #[error("{0}")]
    Argument(String),
    /// Several commands begin so.
    #[error("{words:?} is short for several: {}", commands.join(", "))]
    Ambiguous {
        /// The words.
        words: String,
        /// Which.
        commands: Vec<String>,
    },
    /// Something is missing.
    #[error("{words:?} is not all: then comes {}", expected.join(", "))]
    Incomplete {
        /// The words.
        words: String,
        /// What may come next.
        expected: Vec<String>,
    },
}

fn place(before: &str) -> String {
    if before.is_empty() { "command".to_owned() } else { format!("after {before:?}") }
}

fn meant(guesses: &[&str], expected: &[String]) -> String {
    match (guesses, expected) {
        ([], []) => ": the command is complete before it".to_owned(),
        ([], _) => format!("; there may stand: {}", expected.join(", ")),
        _ => format!("; did you mean {}?", guesses.join(" or ")),
    }
}

/// What may come next, for completion and `?`.
#[derive(Clone, Debug)]
pub(super) struct Next {
    /// The word, or the argument's name.
    pub(super) text: &'static str,
    /// Which kind of argument it is; `None`: a word.
    pub(super) kind: Option<Kind>,
    /// The commands that go on with it.
    pub(super) commands: Vec<&'static Command>,
    /// Whether it stands in a group that may be left out.
    pub(super) optional: bool,
}

/// The commands of a table, taken apart once.
#[derive(Debug)]
pub(super) struct Grammar(Vec<(&'static Command, Pattern)>);

/// A command as far as the words go.
#[derive(Clone, Debug)]
struct Walk<'g> {
    command: &'static Command,
    pattern: &'g Pattern,
    required: usize,
    /// The groups that were used, a bit each.
    used: u32,
    /// Which group, and which place of it.
    inside: Option<(usize, usize)>,
    given: Given,
    /// The last word, written out.
    last: &'static str,
}

impl Grammar {
    /// # Panics
    /// Never with the table of this crate: a test takes all its lines apart.
    pub(super) fn of(commands: &'static [&'static [Command]]) -> Self {
        let all = commands.iter().copied().flatten();
        Self(all.map(|command| (command, Pattern::parse(command.usage).unwrap_or_default())).collect())
    }

    pub(super) fn commands(&self) -> impl Iterator<Item = &'static Command> + '_ {
        self.0.iter().map(|(command, _)| *command)
    }

    fn starts(&self) -> Vec<Walk<'_>> {
        self.0.iter().map(|(command, pattern)| Walk::new(command, pattern)).collect()
    }

    /// The command of these words.
    ///
    /// # Errors
    /// [`Mistake`].
    pub(super) fn parse(&self, words: &[String]) -> Result<(&'static Command, Given), Mistake> {
        let walks = self.walk(words)?;
        let complete: Vec<&Walk<'_>> = walks.iter().filter(|walk| walk.is_complete()).collect();
        let mut lasts: Vec<&str> = walks.iter().map(|walk| walk.last).collect();
        lasts.sort_unstable();
        lasts.dedup();
        match complete[..] {
            [one] if lasts.len() == 1 => Ok((one.command, one.given.clone())),
            [] if lasts.len() <= 1 => {
                let expected = next_of(&walks).iter().map(Next::shown).collect();
                Err(Mistake::Incomplete { words: words.join(" "), expected })
            }
            _ => {
                let mut commands: Vec<_> = walks.iter().map(|walk| walk.command.usage.to_owned()).collect();
                commands.dedup();
                Err(Mistake::Ambiguous { words: words.join(" "), commands })
            }
        }
    }

    /// What may come after these words.
    ///
    /// # Errors
    /// They are no beginning of a command.
    pub(super) fn next(&self, words: &[String]) -> Result<Vec<Next>, Mistake> {
        Ok(next_of(&self.walk(words)?))
    }

    /// The commands whose words begin so; a line that is complete among them.
    ///
    /// # Errors
    /// They are no beginning of a command.
    pub(super) fn beginning_with(&self, words: &[String]) -> Result<Vec<&'static Command>, Mistake> {
        let mut commands: Vec<_> = self.walk(words)?.iter().map(|walk| walk.command).collect();
        commands.dedup_by_key(|command| command.usage);
        Ok(commands)
    }

    /// All that these words may be the beginning of.
    fn walk(&self, words: &[String]) -> Result<Vec<Walk<'_>>, Mistake> {
        let mut walks = self.starts();
        for (at, word) in words.iter().enumerate() {
            let on: Vec<(Fit, Walk<'_>)> = walks.iter().flat_map(|walk| walk.on(word)).collect();
            let best = on.iter().map(|(fit, _)| *fit).max();
            let before = || words.get(..at).unwrap_or_default().join(" ");
            match best {
                None => return Err(mistake(&walks, word, before())),
                Some(Fit::Exact) => {
                    walks = on.into_iter().filter(|(fit, _)| *fit == Fit::Exact).map(|(_, walk)| walk).collect();
                }
                Some(_) => walks = on.into_iter().map(|(_, walk)| walk).collect(),
            }
        }
        Ok(walks)
    }
}

/// How well a word fits a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Argument,
    Prefix,
    Exact,
}

impl<'g> Walk<'g> {
    fn new(command: &'static Command, pattern: &'g Pattern) -> Self {
        Self { command, pattern, required: 0, used: 0, inside: None, given: Given::default(), last: "" }
    }

    fn is_complete(&self) -> bool {
        self.required == self.pattern.required.len() && self.inside.is_none()
    }

    /// The places that may come next, each with the walk behind it.
    fn places(&self) -> Vec<(&'g [Atom], Self)> {
        let mut places = Vec::new();
        if let Some((group, at)) = self.inside {
            places.extend(self.group_place(group, at));
        } else if let Some(place) = self.pattern.required.get(self.required) {
            let mut walk = self.clone();
            walk.required += 1;
            places.push((place.as_slice(), walk));
        } else {
            for (at, group) in self.pattern.groups.iter().enumerate() {
                if group.repeats || self.used & (1 << at) == 0 {
                    places.extend(self.group_place(at, 0));
                }
            }
        }
        places
    }

    fn group_place(&self, group: usize, at: usize) -> Option<(&'g [Atom], Self)> {
        let places = &self.pattern.groups.get(group)?.places;
        let mut walk = self.clone();
        walk.used |= 1 << group;
        walk.inside = (at + 1 < places.len()).then_some((group, at + 1));
        Some((places.get(at)?.as_slice(), walk))
    }

    /// Where this word leads.
    fn on(&self, word: &str) -> Vec<(Fit, Self)> {
        let mut all = Vec::new();
        for (atoms, walk) in self.places() {
            let words = atoms.iter().filter_map(|atom| match atom {
                Atom::Word(full) if *full == word => Some((Fit::Exact, *full)),
                Atom::Word(full) if !word.is_empty() && full.starts_with(word) => Some((Fit::Prefix, *full)),
                _ => None,
            });
            let before = all.len();
            all.extend(words.map(|(fit, full)| (fit, walk.with(full, full))));
            // What is short for a word is no argument of the same place.
            if all.len() > before {
                continue;
            }
            let arguments = atoms.iter().filter_map(|atom| match atom {
                Atom::Argument(kind) if kind.check(word).is_ok() => Some(kind.name()),
                _ => None,
            });
            all.extend(arguments.map(|name| (Fit::Argument, walk.with(name, word))));
        }
        all
    }

    fn with(&self, name: &'static str, value: &str) -> Self {
        let mut walk = self.clone();
        walk.given.0.push((name, value.to_owned()));
        walk.last = name;
        walk
    }
}

impl Next {
    fn shown(&self) -> String {
        self.text.to_owned()
    }
}

fn next_of(walks: &[Walk<'_>]) -> Vec<Next> {
    let mut all: Vec<Next> = Vec::new();
    for walk in walks {
        for (atoms, behind) in walk.places() {
            for atom in atoms {
                let (text, kind) = match atom {
                    Atom::Word(word) => (*word, None),
                    Atom::Argument(kind) => (kind.name(), Some(*kind)),
                };
                match all.iter_mut().find(|next| next.text == text) {
                    Some(next) => next.commands.push(walk.command),
                    None => {
                        let optional = behind.used != 0;
                        all.push(Next { text, kind, commands: vec![walk.command], optional });
                    }
                }
            }
        }
    }
    all
}

/// What is asked so elsewhere: the words before, the word, and what asks it here.
pub(super) const FOREIGN: [(&str, &str, &str); 13] = [
    ("", "exit", "quit"),
    ("", "ping", "show lookup"),
    ("", "write", "peers save"),
    ("", "configure", "config diff"),
    ("show", "arp", "show lookup"),
    ("show", "route", "show lookup"),
    ("show", "ip", "show lookup"),
    ("show", "run", "config diff"),
    ("show", "running-config", "config diff"),
    ("show", "version", "show eal"),
    ("show", "logging", "show events"),
    ("show", "runtime", "show cores"),
    ("show", "errors", "show drops"),
];

fn mistake(walks: &[Walk<'_>], word: &str, before: String) -> Mistake {
    let next = next_of(walks);
    // One argument is all that may stand there: say what is wrong with this one.
    if let [Next { kind: Some(kind), .. }] = &next[..]
        && let Err(why) = kind.check(word)
    {
        return Mistake::Argument(why);
    }
    let mut near: Vec<(usize, &'static str)> = next
        .iter()
        .filter(|next| next.kind.is_none())
        .map(|next| next.text)
        // A flag that is none was left among the words.
        .chain(FLAGS.iter().map(|flag| flag.long).filter(|_| word.starts_with("--")))
        .map(|text| (strsim::damerau_levenshtein(text, word), text))
        .filter(|(distance, text)| *distance <= 2.min(text.len() / 2))
        .collect();
    near.sort_unstable();
    let nearest = near.first().map(|(distance, _)| *distance);
    near.retain(|(distance, _)| Some(*distance) == nearest);
    let mut guesses: Vec<_> = near.into_iter().map(|(_, text)| text).collect();
    if guesses.is_empty() {
        let foreign = FOREIGN.iter().filter(|(at, theirs, _)| *at == before && *theirs == word);
        guesses.extend(foreign.map(|(_, _, ours)| *ours));
    }
    Mistake::Unknown { word: shorten(word), before, guesses, expected: next.iter().map(Next::shown).collect() }
}

/// As much of a word as a message has room for.
fn shorten(word: &str) -> String {
    match word.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", word.get(..at).unwrap_or_default()),
        None => word.to_owned(),
    }
}

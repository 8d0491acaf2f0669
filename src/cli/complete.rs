//! Completion: what may stand in place of a word that is half typed. Names of ports, interfaces and peers come from the gateway.

use super::ask::ask_desk;
use super::flags::FLAGS;
use super::front::{Failure, Settings};
use super::line::Filter;
use super::parse::{Given, Next};
use super::pattern::Kind;
use super::table::{Section, grammar};
use crate::api::{PeerSort, Request};
use serde_json::Value;
use std::io::Write;

/// Peers that are offered, at most.
const PEERS: u32 = 50;

/// A word that fits, and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The whole word.
    pub(super) word: String,
    /// What it is for.
    pub(super) about: String,
}

/// What may stand in place of the last of `words`, which may be empty.
pub(super) fn candidates(words: &[String], settings: &Settings) -> Vec<Candidate> {
    let Some((last, before)) = words.split_last() else { return Vec::new() };
    let fits = |text: &str| text.starts_with(last.as_str());
    // Behind a pipe come filters only.
    if let Some(pipe) = before.iter().rposition(|word| word == "|") {
        let first = pipe + 1 == before.len();
        return Filter::WORDS.iter().filter(|word| first && fits(word)).map(|word| Candidate::of((word, ""))).collect();
    }
    let Ok((before, settings)) = super::flags::take(before.to_vec(), settings.clone()) else { return Vec::new() };
    let Ok(next) = grammar().next(&before) else { return Vec::new() };
    let mut all: Vec<Candidate> = Vec::new();
    for next in next {
        match next.kind {
            None => all.extend([Candidate::of((next.text, &next.about()))]),
            Some(kind) => all.extend(values(kind, last, &settings)),
        }
    }
    if last.starts_with('-') {
        let flags = FLAGS.iter().flat_map(|flag| [flag.long, flag.short].map(|name| (name, flag.help)));
        all.extend(flags.filter(|(name, _)| !name.is_empty()).map(Candidate::of));
    }
    all.retain(|candidate| fits(&candidate.word));
    all
}

impl Candidate {
    fn of((word, about): (&str, &str)) -> Self {
        Self { word: word.to_owned(), about: about.to_owned() }
    }
}

/// Words for an argument; none where anything may stand, or where no gateway says.
fn values(kind: Kind, begun: &str, settings: &Settings) -> Vec<Candidate> {
    let from = |request: Request, list: &str, word: &str, about: &str| -> Vec<Candidate> {
        let Ok(answer) = ask_desk(settings, &request) else { return Vec::new() };
        let text = |row: &Value, key: &str| row.get(key).and_then(Value::as_str).map(str::to_owned);
        let rows = answer.get(list).and_then(Value::as_array).into_iter().flatten();
        rows.filter_map(|row| Some(Candidate { word: text(row, word)?, about: text(row, about).unwrap_or_default() }))
            .collect()
    };
    match kind {
        Kind::Shell => ["bash", "zsh", "fish"].map(|shell| Candidate::of((shell, ""))).into(),
        Kind::Section => Section::ALL.map(|section| Candidate::of((section.name(), section.about()))).into(),
        Kind::Port => from(Request::ShowPortSummary { port: "all".to_owned() }, "port_summary", "name", "device"),
        Kind::Interface => from(Request::ShowInterface { interface: None }, "interfaces", "interface", "public_key"),
        Kind::Peer => {
            let matching = Some(format!("^{}", regex::escape(begun)));
            let request = Request::ShowPeers { sort: PeerSort::Name, limit: Some(PEERS), matching, interface: None };
            let mut names = from(request.clone(), "peers", "name", "public_key");
            // The keys of others begin so.
            names.retain(|name| name.word.starts_with(begun));
            if names.is_empty() { from(request, "peers", "public_key", "endpoint") } else { names }
        }
        Kind::Key | Kind::Name | Kind::Prefixes | Kind::Endpoint => Vec::new(),
        Kind::Address | Kind::Number | Kind::Regex | Kind::Word => Vec::new(),
        // The shell's own completion of files steps in.
        Kind::File | Kind::Folder | Kind::Device | Kind::Subnet => Vec::new(),
    }
}

/// `complete [WORD]...`: what shells ask. A candidate a line; behind a tab what it is for.
pub(super) fn print(given: &Given, settings: &Settings, out: &mut dyn Write) -> Result<(), Failure> {
    let words: Vec<String> = given.all("WORD").map(str::to_owned).collect();
    for Candidate { word, about } in candidates(&words, settings) {
        writeln!(out, "{word}\t{about}")?;
    }
    Ok(())
}

/// What `?` lists after these words.
pub(super) fn next(words: &[String]) -> Result<(Vec<Next>, bool), super::parse::Mistake> {
    Ok((grammar().next(words)?, grammar().parse(words).is_ok()))
}

use super::*;
use crate::cli::docs;
use crate::cli::parse::Mistake;
use crate::cli::pattern::{Atom, Kind, Pattern};
use std::collections::BTreeSet;

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn usage_of(line: &str) -> Result<&'static str, Mistake> {
    grammar().parse(&words(line)).map(|(command, _)| command.usage)
}

/// Something of that kind.
fn example(atom: Atom) -> &'static str {
    match atom {
        Atom::Word(word) => word,
        Atom::Argument(Kind::Number) => "7",
        Atom::Argument(Kind::Address) => "10.0.0.1",
        Atom::Argument(Kind::Subnet) => "10.0.0.1/8",
        Atom::Argument(Kind::Regex) => "^a",
        Atom::Argument(Kind::Shell) => "bash",
        Atom::Argument(Kind::Key) => "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        Atom::Argument(Kind::Prefixes) => "10.0.0.0/8,fd00::/8",
        Atom::Argument(_) => "example",
    }
}

/// Lines that a command takes: every alternative of every place once, each group alone, and all groups.
fn examples(command: &Command) -> Vec<String> {
    let pattern = Pattern::parse(command.usage).unwrap();
    let first = |places: &[Vec<Atom>]| places.iter().map(|place| example(place[0])).collect::<Vec<_>>().join(" ");
    let mut lines = vec![first(&pattern.required)];
    for (at, place) in pattern.required.iter().enumerate() {
        for atom in place {
            let mut words: Vec<_> = pattern.required.iter().map(|place| example(place[0])).collect();
            words[at] = example(*atom);
            lines.push(words.join(" "));
        }
    }
    let all: Vec<String> = pattern.groups.iter().map(|group| first(&group.places)).collect();
    let bare = lines[0].clone();
    lines.extend(all.iter().map(|group| format!("{bare} {group}")));
    lines.push(format!("{bare} {}", all.join(" ")));
    lines
}

#[test]
fn every_command_is_found_by_its_words_and_says_what_it_does() {
    for command in COMMANDS.iter().copied().flatten() {
        for line in examples(command) {
            assert_eq!(usage_of(&line), Ok(command.usage), "{line}");
        }
        assert!(Section::ALL.contains(&command.section), "{}", command.usage);
        assert!((10..=100).contains(&command.help.len()), "{}", command.usage);
        assert!(!command.help.ends_with('.') && !command.help.starts_with(char::is_uppercase), "{}", command.usage);
    }
}

/// The type of requests lists them in its error: none is without a command, and each is a command's once.
#[test]
fn every_request_of_the_gateway_has_its_command() {
    let error = serde_json::from_str::<Request>(r#"{"do":"?"}"#).unwrap_err().to_string();
    let all: BTreeSet<String> = error.split('`').skip(1).step_by(2).skip(1).map(str::to_owned).collect();
    assert!(all.contains("show-drops"), "{error}");
    let mut asked = BTreeSet::new();
    for command in COMMANDS.iter().copied().flatten() {
        let line = examples(command).remove(0);
        let (_, given) = grammar().parse(&words(&line)).unwrap();
        let (request, answer) = match command.action {
            Action::Ask(request, answer) => (request(&given), answer),
            Action::Send(request, answer) => (request(&given).unwrap(), answer),
            // Those of a lab never leave the process.
            Action::Order(..) | Action::Local(_) | Action::Follow(_) => continue,
        };
        let json = serde_json::to_value(request).unwrap();
        assert!(asked.insert(json["do"].as_str().unwrap().to_owned()), "{} asks what another does", command.usage);
        assert!(!answer.keys().is_empty(), "{}", command.usage);
    }
    assert_eq!(asked, all);
}

#[test]
fn words_may_be_cut_short_while_they_stay_clear() {
    assert_eq!(usage_of("sh dr"), Ok("show drops [all]"));
    assert_eq!(usage_of("sh dr a"), Ok("show drops [all]"));
    assert_eq!(usage_of("se r of"), Ok("set record-core-cycles on|off"));
    assert!(matches!(usage_of("s dr"), Ok("show drops [all]")), "only show goes on so");
    assert!(matches!(usage_of("se r o"), Err(Mistake::Ambiguous { .. })));
    assert!(matches!(usage_of("show c"), Err(Mistake::Ambiguous { .. })));
    assert!(matches!(usage_of("sh"), Err(Mistake::Incomplete { .. })));
}

#[test]
fn a_whole_word_is_not_also_short_for_a_longer_one() {
    let found = |line| grammar().beginning_with(&words(line)).unwrap().into_iter().map(|c| c.usage);
    assert!(found("show peer").count() > 0);
    assert_eq!(found("show peer").find(|usage| usage.starts_with("show peers")), None);
    assert!(found("show peers").all(|usage| usage.starts_with("show peers")));
    assert!(found("sh pee").any(|usage| usage.starts_with("show peers")));
}

#[test]
fn mistakes_say_what_was_probably_meant() {
    for (line, said) in [
        ("shwo drops", r#"there is no "shwo" command; did you mean show?"#),
        ("show dorps", r#"there is no "dorps" after "show"; did you mean drops?"#),
        ("show drops twice", r#"there is no "twice" after "show drops"; there may stand: all"#),
        ("show account twice", r#"there is no "twice" after "show account": the command is complete before it"#),
        ("show account --jsno", r#"there is no "--jsno" after "show account"; did you mean --json?"#),
        ("--wach show drops", r#"there is no "--wach" command; did you mean --watch?"#),
        ("show arp", r#"there is no "arp" after "show"; did you mean show lookup?"#),
        ("exit", r#"there is no "exit" command; did you mean quit?"#),
        ("set record-core-cycles", r#""set record-core-cycles" is not all: then comes on, off"#),
    ] {
        assert_eq!(usage_of(line).unwrap_err().to_string(), said);
    }
    for (_, _, ours) in crate::cli::parse::FOREIGN {
        let words: Vec<String> = ours.split(' ').map(str::to_owned).collect();
        assert!(grammar().beginning_with(&words).is_ok(), "{ours}");
    }
    let long = usage_of(&"x".repeat(1 << 20)).unwrap_err().to_string();
    assert!(long.len() < 1000, "{}", long.len());
}

/// `CULVERT_UPDATE=1 cargo test reference` writes it anew.
#[test]
fn the_reference_is_that_of_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/COMMANDS.md");
    if std::env::var_os("CULVERT_UPDATE").is_some() {
        std::fs::write(path, docs::reference()).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap() == docs::reference(),
        "stale: CULVERT_UPDATE=1 cargo test reference"
    );
}

#[test]
fn the_manual_has_every_command_and_flag() {
    let mut page = Vec::new();
    docs::man(&mut page).unwrap();
    let page = String::from_utf8(page).unwrap().replace("\\-", "-").replace("\\*(Aq", "'");
    for command in COMMANDS.iter().copied().flatten() {
        assert!(page.contains(command.usage), "{}", command.usage);
    }
    assert!(crate::cli::flags::FLAGS.iter().all(|flag| page.contains(flag.long) && page.contains(flag.help)), "{page}");
}

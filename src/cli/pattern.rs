//! A command's words, as its usage line writes them: `show peers [sort rx|tx] [limit N]`.
//!
//! Small letters stand for themselves, capitals are arguments, `a|b` is either, `[…]` may be left out; such groups stand last and
//! come in any order, each once, or as often as one likes where `...` stands at its end.

use crate::config::keys::from_base64;
use crate::config::peers_file::is_name;
use std::net::IpAddr;

/// What may stand at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Atom {
    /// This word.
    Word(&'static str),
    /// An argument of this name.
    Argument(Kind),
}

/// The kinds of arguments. The gateway knows whether a port or peer exists; what can be known here is checked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A port's number or name.
    Port,
    /// A peer's key, name or inner address.
    Peer,
    /// A peer's public key.
    Key,
    /// A name to be given.
    Name,
    /// Prefixes.
    Prefixes,
    /// Where a peer is.
    Endpoint,
    /// An interface's name.
    Interface,
    /// An IP address.
    Address,
    /// A number.
    Number,
    /// A regular expression.
    Regex,
    /// A file.
    File,
    /// A folder.
    Folder,
    /// What a port is made of.
    Device,
    /// An address with its subnet's length.
    Subnet,
    /// A section of the help.
    Section,
    /// A shell whose completion is wanted.
    Shell,
    /// A word of a command.
    Word,
}

impl Kind {
    /// All, with the name that usage lines have, and what people are told.
    pub(super) const ALL: [(Self, &'static str, &'static str); 17] = [
        (Self::Port, "PORT", "a port's number or name"),
        (Self::Peer, "PEER", "a peer's public key (or its beginning), name, or address behind it"),
        (Self::Key, "KEY", "a public key: 44 characters of base64"),
        (Self::Name, "NAME", "a name of at most 64 characters"),
        (Self::Prefixes, "PREFIXES", "prefixes with commas between, as 10.0.0.2/32,fd00::2/128"),
        (Self::Endpoint, "ENDPOINT", "an address and port, as 192.0.2.1:51820 or [2001:db8::1]:51820"),
        (Self::Interface, "INTERFACE", "an interface's name"),
        (Self::Address, "ADDRESS", "an IPv4 or IPv6 address"),
        (Self::Number, "N", "a whole number"),
        (Self::Regex, "RE", "a regular expression"),
        (Self::File, "FILE", "a file"),
        (Self::Folder, "FOLDER", "a folder"),
        (Self::Device, "DEVICE", "a PCI address, an interface of the kernel's, or a vdev"),
        (Self::Subnet, "SUBNET", "an address with its subnet's length, as 192.0.2.1/24"),
        (Self::Section, "SECTION", "a section of the help, or a command"),
        (Self::Shell, "SHELL", "bash, zsh or fish"),
        (Self::Word, "WORD", "a word"),
    ];

    fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, n, _)| *n == name).map(|(kind, ..)| *kind)
    }

    fn entry(self) -> (&'static str, &'static str) {
        Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or(("?", "?"), |(_, name, what)| (name, what))
    }

    /// The name in usage lines.
    pub(super) fn name(self) -> &'static str {
        self.entry().0
    }

    /// What it is, for people.
    pub(super) fn what(self) -> &'static str {
        self.entry().1
    }

    /// Why `text` is none.
    pub(super) fn check(self, text: &str) -> Result<(), String> {
        let bad = |why: &str| Err(format!("{text:?} is not {}{why}", self.what()));
        match self {
            // Not shown: it is often the private key that was pasted.
            Self::Key if from_base64(text).is_none() => Err(format!("that is not {}", self.what())),
            Self::Name if !is_name(text) => bad(", in plain text"),
            Self::Number if text.parse::<u32>().is_err() => bad(""),
            Self::Address if text.parse::<IpAddr>().is_err() => bad(""),
            Self::Subnet if text.parse::<ipnet::IpNet>().is_err() => bad(""),
            Self::Shell if !["bash", "zsh", "fish"].contains(&text) => bad(""),
            Self::Regex => match regex::Regex::new(text) {
                Ok(_) => Ok(()),
                // The last line says what, those before draw where.
                Err(error) => bad(&format!(": {}", error.to_string().lines().last().unwrap_or_default())),
            },
            // A word that is not begun yet is one too: Tab behind a blank completes it.
            Self::Word => Ok(()),
            _ if text.is_empty() => bad(""),
            _ => Ok(()),
        }
    }
}

/// A usage line taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pattern {
    /// What has to stand there, in order.
    pub(super) required: Vec<Vec<Atom>>,
    /// What may follow.
    pub(super) groups: Vec<Group>,
}

/// What may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// What stands in it, in order.
    pub(super) places: Vec<Vec<Atom>>,
    /// It may come more than once.
    pub(super) repeats: bool,
}

impl Pattern {
    /// Takes a usage line apart.
    ///
    /// # Errors
    /// What is wrong with it. Lines of the table have nothing wrong: a test parses them all.
    pub(super) fn parse(usage: &'static str) -> Result<Self, String> {
        let mut pattern = Self::default();
        let mut open = false;
        for token in usage.split_whitespace() {
            let (token, repeats) = match token.strip_suffix("...") {
                Some(token) => (token, true),
                None => (token, false),
            };
            let begins = token.starts_with('[');
            let ends = token.ends_with(']');
            if begins {
                if open {
                    return Err(format!("{usage:?}: [ within [ ]"));
                }
                open = true;
                pattern.groups.push(Group::default());
            }
            pattern.push(usage, open, token.trim_start_matches('[').trim_end_matches(']'))?;
            open &= !ends;
            match pattern.groups.last_mut() {
                Some(group) if repeats && !open => group.repeats = true,
                _ if repeats => return Err(format!("{usage:?}: only a group may come again")),
                _ => {}
            }
        }
        if open { Err(format!("{usage:?}: an open [")) } else { Ok(pattern) }
    }

    fn push(&mut self, usage: &str, open: bool, token: &'static str) -> Result<(), String> {
        let atom = |text: &'static str| {
            if text.is_empty() {
                Err(format!("{usage:?}: an empty word"))
            } else if !text.chars().any(|c| c.is_ascii_lowercase()) {
                Kind::of(text).map(Atom::Argument).ok_or_else(|| format!("{usage:?}: no kind of argument {text}"))
            } else {
                Ok(Atom::Word(text))
            }
        };
        let place = token.split('|').map(atom).collect::<Result<Vec<_>, _>>()?;
        match self.groups.last_mut() {
            Some(group) if open => group.places.push(place),
            Some(_) => return Err(format!("{usage:?}: what may be left out stands last")),
            None => self.required.push(place),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_lines_are_taken_apart() {
        let pattern = Pattern::parse("show peers PORT|all [sort rx|tx] [limit N]").unwrap();
        assert_eq!(pattern.required.len(), 3);
        assert_eq!(pattern.required[2], [Atom::Argument(Kind::Port), Atom::Word("all")]);
        assert_eq!(pattern.groups[0].places, [vec![Atom::Word("sort")], vec![Atom::Word("rx"), Atom::Word("tx")]]);
        assert_eq!(pattern.groups[1].places[1], [Atom::Argument(Kind::Number)]);
        let repeats =
            |usage| Pattern::parse(usage).unwrap().groups.iter().map(|group| group.repeats).collect::<Vec<_>>();
        assert_eq!(repeats("help [WORD]... [limit N]"), [true, false]);
        for wrong in
            ["show [a", "show [a [b]]", "show [a] b", "show NOTHING", "show a||b", "show a...", "show [a... b]"]
        {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn arguments_are_held_to_their_kind() {
        for (kind, good, wrong) in [
            (Kind::Number, "7", "seven"),
            (Kind::Address, "2001:db8::1", "10.0.0"),
            (Kind::Subnet, "10.0.0.1/8", "10.0.0.1"),
            (Kind::Regex, "^a.*b$", "a("),
            (Kind::Shell, "fish", "csh"),
            (Kind::Key, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "AAEC"),
            (Kind::Name, "a laptop", "a\nlaptop"),
            (Kind::Port, "wan", ""),
        ] {
            assert_eq!(kind.check(good), Ok(()));
            let said = kind.check(wrong).unwrap_err();
            assert!(said.contains(kind.what()), "{said}");
        }
    }
}

//! A typed line: words, quotes, a comment, and what it is piped through.

use regex::Regex;
use std::io::Write;

/// A line taken apart.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// The command's words.
    pub(super) words: Vec<String>,
    /// What its output goes through.
    pub(super) filters: Vec<Filter>,
}

/// What a command's lines go through.
#[derive(Debug)]
pub(super) enum Filter {
    /// Only lines that match.
    Include(Regex),
    /// Only lines that do not match.
    Exclude(Regex),
    /// How many lines there are.
    Count,
}

impl Line {
    /// Takes a line apart: words by blanks, `"…"` and `'…'` around what has blanks in it, `|` before a filter, `#` before a comment.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Self::from_words(split(text)?)
    }

    /// The same from words that a shell took apart already; a `|` stands alone, and before any `--`.
    ///
    /// # Errors
    /// What is wrong with a filter.
    pub(super) fn of_arguments(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut plain = false;
        let token = |word: String| {
            plain |= word == "--";
            if word == "|" && !plain { Token::Pipe } else { Token::Word(word) }
        };
        Self::from_words(words.into_iter().map(token).collect())
    }

    fn from_words(tokens: Vec<Token>) -> Result<Self, String> {
        let mut parts = vec![Vec::new()];
        for token in tokens {
            match (token, parts.last_mut()) {
                (Token::Word(word), Some(part)) => part.push(word),
                _ => parts.push(Vec::new()),
            }
        }
        let mut parts = parts.into_iter();
        let words = parts.next().unwrap_or_default();
        Ok(Self { words, filters: parts.map(|words| Filter::parse(&words)).collect::<Result<_, _>>()? })
    }

    /// What of `output` passes the filters.
    pub(super) fn filter(&self, output: &str) -> String {
        let mut passed = Vec::new();
        let mut sieve = Sieve::new(&self.filters, &mut passed);
        // A vector takes all.
        let _never_fails = sieve.write_all(output.as_bytes()).and_then(|()| sieve.end());
        String::from_utf8_lossy(&passed).into_owned()
    }
}

/// Passes on what passes filters, line for line as it comes; counts come when all has. Without filters it passes all on as it is.
pub(super) struct Sieve<'a, W> {
    filters: &'a [Filter],
    /// What each filter counted.
    counts: Vec<usize>,
    /// The line that is not whole yet.
    line: Vec<u8>,
    out: W,
}

impl<'a, W: Write> Sieve<'a, W> {
    pub(super) fn new(filters: &'a [Filter], out: W) -> Self {
        Self { filters, counts: vec![0; filters.len()], line: Vec::new(), out }
    }

    /// Nothing comes any more.
    pub(super) fn end(&mut self) -> std::io::Result<()> {
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.pass(&String::from_utf8_lossy(&line), 0)?;
        }
        for at in 0..self.filters.len() {
            if matches!(self.filters.get(at), Some(Filter::Count)) {
                let count = self.counts.get(at).map(usize::to_string).unwrap_or_default();
                self.pass(&count, at + 1)?;
            }
        }
        self.out.flush()
    }

    /// A line at the filter of this place.
    fn pass(&mut self, line: &str, from: usize) -> std::io::Result<()> {
        for (filter, count) in self.filters.iter().zip(&mut self.counts).skip(from) {
            let passes = match filter {
                Filter::Include(regex) => regex.is_match(line),
                Filter::Exclude(regex) => !regex.is_match(line),
                Filter::Count => {
                    *count += 1;
                    false
                }
            };
            if !passes {
                return Ok(());
            }
        }
        writeln!(self.out, "{line}")
    }
}

impl<W: Write> Write for Sieve<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.filters.is_empty() {
            return self.out.write(bytes);
        }
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            match part.split_last() {
                Some((b'\n', rest)) => {
                    self.line.extend_from_slice(rest);
                    let line = std::mem::take(&mut self.line);
                    self.pass(&String::from_utf8_lossy(&line), 0)?;
                }
                _ => self.line.extend_from_slice(part),
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

impl Filter {
    /// The words that begin one, for completion.
    pub(super) const WORDS: [&'static str; 3] = ["include", "exclude", "count"];

    fn parse(words: &[String]) -> Result<Self, String> {
        let usage = "after | comes: include RE, exclude RE or count";
        let Some((first, rest)) = words.split_first() else { return Err(usage.to_owned()) };
        let [word] = Self::WORDS.iter().filter(|word| word.starts_with(first.as_str())).collect::<Vec<_>>()[..] else {
            return Err(format!("there is no filter {first:?}; {usage}"));
        };
        if *word == "count" {
            return if rest.is_empty() { Ok(Self::Count) } else { Err("count takes nothing".to_owned()) };
        }
        if rest.is_empty() {
            return Err(format!("{word} what? {usage}"));
        }
        let regex = Regex::new(&rest.join(" ")).map_err(|error| error.to_string())?;
        Ok(if *word == "include" { Self::Include(regex) } else { Self::Exclude(regex) })
    }
}

enum Token {
    Word(String),
    Pipe,
}

fn split(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' | '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some(end) if end == c => break,
                        Some(inside) => word.push(inside),
                        None => return Err(format!("a {c} that nothing closes")),
                    }
                }
            }
            '#' if word.is_none() => break,
            '|' => {
                tokens.extend(word.take().map(Token::Word));
                tokens.push(Token::Pipe);
            }
            c if c.is_whitespace() => tokens.extend(word.take().map(Token::Word)),
            c => word.get_or_insert_default().push(c),
        }
    }
    tokens.extend(word.map(Token::Word));
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        Line::parse(text).unwrap().words
    }

    #[test]
    fn words_quotes_and_comments() {
        assert_eq!(
            words("  show  peers match \"a b\"'|'# no comment"),
            ["show", "peers", "match", "a b|#", "no", "comment"]
        );
        assert_eq!(words("show drops # why?"), ["show", "drops"]);
        assert_eq!(words("show peer ''"), ["show", "peer", ""]);
        assert!(words("").is_empty() && words(" \t# nothing").is_empty());
        assert!(Line::parse("show 'drops").unwrap_err().contains('\''));
    }

    #[test]
    fn output_goes_through_filters_in_their_order() {
        let through = |line: &str| Line::parse(line).map(|line| line.filter("wan 1\nlan 2\nwan 3\n"));
        assert_eq!(through("x").unwrap(), "wan 1\nlan 2\nwan 3\n");
        assert_eq!(through("x | include ^wan | exclude 3").unwrap(), "wan 1\n");
        assert_eq!(through("x|inc \"1|2\"|co").unwrap(), "2\n");
        assert_eq!(through("x | include no such").unwrap(), "");
        for wrong in ["x |", "x | grep a", "x | include", "x | include (", "x | count 3", "x | | count"] {
            assert!(through(wrong).is_err(), "{wrong}");
        }
        let behind = Line::of_arguments(["complete", "--", "show", "|"].map(String::from)).unwrap();
        assert!(behind.filters.is_empty() && behind.words.len() == 4);
        let given = ["show", "|", "i", "lan"].map(String::from);
        assert_eq!(Line::of_arguments(given).unwrap().filter("wan\nlan\n"), "lan\n");
    }
}

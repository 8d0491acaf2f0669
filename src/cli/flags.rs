//! What begins with `-`: flags that all commands have. They may stand anywhere before `--`.

use super::front::Settings;
use std::path::PathBuf;
use std::time::Duration;

/// One flag, for the parser, the help and the man page.
#[derive(Debug)]
pub(super) struct Flag {
    /// As `--socket`.
    pub(super) long: &'static str,
    /// As `-f`; may be empty.
    pub(super) short: &'static str,
    /// What it takes.
    pub(super) value: Value,
    /// What it does.
    pub(super) help: &'static str,
}

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing.
    None,
    /// One word of this name, in the same word after `=` or in the next.
    One(&'static str),
    /// The same, only after `=`, or nothing.
    Maybe(&'static str),
}

/// All flags.
pub(super) static FLAGS: &[Flag] = &[
    Flag {
        long: "--socket",
        short: "",
        value: Value::One("PATH"),
        help: "The gateway's [control] socket; /run/culvert/culvert.sock.",
    },
    Flag { long: "--json", short: "-j", value: Value::None, help: "The answer as one line of JSON, for programs." },
    Flag {
        long: "--watch",
        short: "",
        value: Value::Maybe("SECONDS"),
        help: "Again every so many seconds (1), until Ctrl-C.",
    },
    Flag {
        long: "--file",
        short: "-f",
        value: Value::One("FILE"),
        help: "Does the commands of FILE, a line each; - is the standard input.",
    },
    Flag { long: "--stop", short: "-e", value: Value::None, help: "Ends a file at the first command that fails." },
    Flag { long: "--echo", short: "-x", value: Value::None, help: "Writes each command of a file before its output." },
    Flag { long: "--help", short: "-h", value: Value::None, help: "Says what there is, as the command help." },
    Flag { long: "--version", short: "-V", value: Value::None, help: "Says which culvert this is." },
];

/// The words without flags, and what the flags said over `settings`.
///
/// # Errors
/// What is wrong with one.
pub(super) fn take(words: Vec<String>, mut settings: Settings) -> Result<(Vec<String>, Settings), String> {
    let mut rest = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            rest.extend(words);
            break;
        }
        let (name, value) = match word.split_once('=') {
            Some((name, value)) if word.starts_with("--") => (name, Some(value.to_owned())),
            _ => (word.as_str(), None),
        };
        let Some(flag) = FLAGS.iter().find(|flag| flag.long == name || !flag.short.is_empty() && flag.short == name)
        else {
            // It may be a command's own.
            match value {
                Some(value) => rest.extend([name.to_owned(), value]),
                None => rest.push(word),
            }
            continue;
        };
        let value = match (flag.value, value) {
            (Value::None, Some(_)) => return Err(format!("{} takes no value", flag.long)),
            (Value::One(what), None) => Some(words.next().ok_or_else(|| format!("{} wants a {what}", flag.long))?),
            (_, value) => value,
        };
        set(&mut settings, flag.long, value)?;
    }
    Ok((rest, settings))
}

fn set(settings: &mut Settings, flag: &str, value: Option<String>) -> Result<(), String> {
    match (flag, value) {
        ("--socket", Some(path)) => settings.socket = PathBuf::from(path),
        ("--file", Some(file)) => settings.file = Some(file),
        ("--watch", value) => settings.watch = Some(period(value.as_deref())?),
        ("--json", _) => settings.json = true,
        ("--stop", _) => settings.stop = true,
        ("--echo", _) => settings.echo = true,
        ("--help", _) => settings.help = true,
        ("--version", _) => settings.version = true,
        _ => {}
    }
    Ok(())
}

fn period(text: Option<&str>) -> Result<Duration, String> {
    let seconds = text.map_or(Ok(1.0), |text| text.trim_end_matches('s').parse::<f64>().map_err(|e| e.to_string()));
    match seconds {
        Ok(seconds) if (0.1..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        Ok(_) => Err("--watch takes 0.1 to 86400 seconds".to_owned()),
        Err(why) => Err(format!("--watch={}: {why}", text.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(line: &str) -> Result<(Vec<String>, Settings), String> {
        take(line.split_whitespace().map(str::to_owned).collect(), Settings::default())
    }

    #[test]
    fn flags_stand_anywhere_and_only_they_are_taken() {
        let (words, settings) = taken("--socket /x show -j drops --watch=2.5s --fix --config=a=b").unwrap();
        assert_eq!(words, ["show", "drops", "--fix", "--config", "a=b"]);
        assert_eq!(settings.socket, PathBuf::from("/x"));
        assert_eq!((settings.json, settings.watch), (true, Some(Duration::from_millis(2500))));
        let (words, settings) = taken("-e -x --file=a complete -- show --json").unwrap();
        assert_eq!(words, ["complete", "show", "--json"]);
        assert!(settings.stop && settings.echo && !settings.json && settings.file.as_deref() == Some("a"));
        assert_eq!(taken("show --watch").unwrap().1.watch, Some(Duration::from_secs(1)));
    }

    #[test]
    fn every_flag_does_something() {
        let still = format!("{:?}", Settings::default());
        for flag in FLAGS {
            let line = match flag.value {
                Value::One(_) => format!("{}=x", flag.long),
                _ => flag.long.to_owned(),
            };
            assert_ne!(format!("{:?}", taken(&line).unwrap().1), still, "{line}");
        }
    }

    #[test]
    fn wrong_values_are_refused() {
        for wrong in
            ["--socket", "-f", "--json=1", "--watch=x", "--watch=0", "--watch=nan", "--watch=1e99", "--watch=-1"]
        {
            assert!(taken(wrong).is_err(), "{wrong}");
        }
    }
}

//! What doctor says: lines for people, JSON for programs.

use super::finding::{Check, Finding, Mend, Step, Verdict};
use serde_json::{Value, json};
use std::io::{self, Write};

/// All findings.
#[derive(Debug)]
pub struct Report {
    /// The configuration that the checks went by.
    pub config: Option<String>,
    /// In the order of the checks.
    pub rows: Vec<Row>,
}

/// A finding and its check.
#[derive(Debug)]
pub struct Row {
    /// The check.
    pub check: &'static Check,
    /// What it found.
    pub finding: Finding,
}

impl Verdict {
    /// Its word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotApplicable => "not_applicable",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Fail => "fail",
        }
    }

    fn sign(self) -> char {
        match self {
            Self::NotApplicable => '–',
            Self::Ok => '✓',
            Self::Warning => '!',
            Self::Fail => '✗',
        }
    }
}

impl Report {
    /// Whether something fails.
    pub fn fails(&self) -> bool {
        self.worst() == Verdict::Fail
    }

    fn worst(&self) -> Verdict {
        self.rows.iter().map(|row| row.finding.verdict).max().unwrap_or(Verdict::Ok)
    }

    /// The warnings and failures.
    pub(super) fn unwell(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.finding.verdict > Verdict::Ok)
    }

    /// Lines for people; `quiet`: only what is not well.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn print(&self, quiet: bool, out: &mut impl Write) -> io::Result<()> {
        let shown: Vec<&Row> = self.rows.iter().filter(|row| !quiet || row.finding.verdict > Verdict::Ok).collect();
        let width = shown.iter().map(|row| row.title().chars().count()).max().unwrap_or(0);
        if !quiet {
            match &self.config {
                Some(config) => writeln!(out, "by {config}")?,
                None => writeln!(out, "general checks only: there is no configuration (--config FILE)")?,
            }
        }
        for row in shown {
            row.print(width, out)?;
        }
        let count = |verdict| self.rows.iter().filter(|row| row.finding.verdict == verdict).count();
        if !quiet {
            let (ok, warnings, fails) = (count(Verdict::Ok), count(Verdict::Warning), count(Verdict::Fail));
            writeln!(out, "{ok} ok, {warnings} to look at, {fails} to mend")?;
        }
        Ok(())
    }

    /// One JSON document, by `configs/doctor.schema.json`.
    pub fn to_json(&self) -> Value {
        json!({
            "version": 1,
            "culvert": env!("CARGO_PKG_VERSION"),
            "config": self.config,
            "verdict": self.worst().word(),
            "checks": self.rows.iter().map(Row::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Row {
    fn title(&self) -> String {
        match self.finding.about.as_str() {
            "" => self.check.id.into(),
            about => format!("{} ({about})", self.check.id),
        }
    }

    fn print(&self, width: usize, out: &mut impl Write) -> io::Result<()> {
        let Finding { verdict, found, mends, .. } = &self.finding;
        writeln!(out, "{} {:<width$}  {found}", verdict.sign(), self.title())?;
        let indent = " ".repeat(width + 4);
        if *verdict > Verdict::Ok {
            writeln!(out, "{indent}why: {}", self.check.why)?;
        }
        for mend in mends {
            writeln!(out, "{indent}mend: {}", mend.text())?;
        }
        Ok(())
    }

    fn to_json(&self) -> Value {
        let Check { id, looks_at, why, .. } = self.check;
        let Finding { verdict, about, found, mends } = &self.finding;
        json!({
            "id": id,
            "looks_at": looks_at,
            "about": about,
            "verdict": verdict.word(),
            "found": found,
            "why": why,
            "mends": mends.iter().map(Mend::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Mend {
    /// For people.
    pub(super) fn text(&self) -> String {
        let step = match &self.step {
            Step::Command(command) => command.clone(),
            Step::Line { file, line } => format!("in {file}: {line}"),
            Step::Advice(advice) => advice.clone(),
        };
        match (self.reboot, &self.fix) {
            (true, _) => format!("{step}   (then {}reboot)", if step.contains("GRUB") { "update-grub, " } else { "" }),
            (false, Some(_)) => format!("{step}   (--fix does it)"),
            (false, None) => step,
        }
    }

    fn to_json(&self) -> Value {
        let (kind, text, file) = match &self.step {
            Step::Command(command) => ("command", command, None),
            Step::Line { file, line } => ("line", line, Some(file)),
            Step::Advice(advice) => ("advice", advice, None),
        };
        json!({ "kind": kind, "text": text, "file": file, "reboot": self.reboot, "fix": self.fix.is_some() })
    }
}

//! What a check is, and what it finds.

use super::checks::Subject;
use super::fix::Fix;

/// One thing that doctor looks at.
pub struct Check {
    /// Its name in reports, for programs too; it does not change.
    pub id: &'static str,
    /// What it looks at.
    pub looks_at: &'static str,
    /// Why that matters.
    pub why: &'static str,
    pub(super) run: fn(&Subject<'_>) -> Vec<Finding>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Check({})", self.id)
    }
}

/// How things stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The check has nothing to look at here.
    NotApplicable,
    /// As it should be.
    Ok,
    /// A gateway runs, but not as well as it could, or somebody has to look.
    Warning,
    /// A gateway does not start, or does not work.
    Fail,
}

/// What a check found about one thing.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How things stand.
    pub verdict: Verdict,
    /// About what, of several of a kind: `port wan`; empty otherwise.
    pub about: String,
    /// What was found.
    pub found: String,
    /// What mends it, in order.
    pub mends: Vec<Mend>,
}

impl Finding {
    fn new(verdict: Verdict, found: impl Into<String>) -> Self {
        Self { verdict, about: String::new(), found: found.into(), mends: Vec::new() }
    }

    pub(super) fn ok(found: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, found)
    }

    pub(super) fn warning(found: impl Into<String>) -> Self {
        Self::new(Verdict::Warning, found)
    }

    pub(super) fn fail(found: impl Into<String>) -> Self {
        Self::new(Verdict::Fail, found)
    }

    pub(super) fn not_applicable(found: impl Into<String>) -> Self {
        Self::new(Verdict::NotApplicable, found)
    }

    /// A failure where the configuration stands on it, a warning otherwise.
    pub(super) fn fail_if(needed: bool, found: impl Into<String>) -> Self {
        Self::new(if needed { Verdict::Fail } else { Verdict::Warning }, found)
    }

    /// About one of several.
    pub(super) fn about(mut self, about: impl Into<String>) -> Self {
        self.about = about.into();
        self
    }

    /// With one more mend.
    pub(super) fn mend(mut self, mend: Mend) -> Self {
        self.mends.push(mend);
        self
    }
}

/// One step that mends.
#[derive(Clone, Debug)]
pub struct Mend {
    /// What to do.
    pub step: Step,
    /// Whether it takes a reboot to have an effect.
    pub reboot: bool,
    /// What `--fix` does, where that is safe.
    pub(super) fix: Option<Fix>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A command, for root.
    Command(String),
    /// A line of a file.
    Line {
        /// The file.
        file: String,
        /// The line.
        line: String,
    },
    /// What no command does.
    Advice(String),
}

impl Mend {
    fn new(step: Step) -> Self {
        Self { step, reboot: false, fix: None }
    }

    pub(super) fn command(command: impl Into<String>) -> Self {
        Self::new(Step::Command(command.into()))
    }

    pub(super) fn line(file: impl Into<String>, line: impl Into<String>) -> Self {
        Self::new(Step::Line { file: file.into(), line: line.into() })
    }

    pub(super) fn advice(advice: impl Into<String>) -> Self {
        Self::new(Step::Advice(advice.into()))
    }

    /// What `--fix` does; the command says the same.
    pub(super) fn fix(fix: Fix) -> Self {
        Self { fix: Some(fix.clone()), ..Self::command(fix.command()) }
    }

    /// Words on the kernel's command line.
    pub(super) fn boot(words: &str) -> Self {
        let line = format!("GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT {words}\"");
        Self::line("/etc/default/grub.d/culvert.cfg", line).after_reboot()
    }

    pub(super) fn after_reboot(mut self) -> Self {
        self.reboot = true;
        self
    }
}

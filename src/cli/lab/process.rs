//! Commands that are waited for, and processes that run beside the lab.

use super::error::{LabError, Result, What};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a command may take that nobody gave a time.
const COMMAND: Duration = Duration::from_secs(30);
/// How often a child is asked whether it has ended.
const POLL: Duration = Duration::from_millis(2);

/// What a command left.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its exit code; 128 + the signal that ended it.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// Runs a command to its end.
///
/// # Errors
/// It cannot be started, or does not end within the time (it is killed then).
pub fn output(command: &[&str], within: Duration) -> Result<Output> {
    feed(command, "", within)
}

/// Runs a command that has to succeed. Returns what it printed.
///
/// # Errors
/// As [`output`], or another exit code than 0; what it printed is in the error.
pub fn run(command: &[&str]) -> Result<String> {
    run_with_input(command, "")
}

/// [`run`] with something to read.
///
/// # Errors
/// As [`run`].
pub(super) fn run_with_input(command: &[&str], input: &str) -> Result<String> {
    let output = feed(command, input, COMMAND)?;
    match output.code {
        0 => Ok(output.out),
        code => {
            let said = format!("exit code {code}: {}{}", output.err.trim(), output.out.trim());
            Err(LabError::new(command.join(" "), said))
        }
    }
}

fn feed(command: &[&str], input: &str, within: Duration) -> Result<Output> {
    let what = command.join(" ");
    let mut child =
        prepare(command)?.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().what(&what)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(input.as_bytes())));
        let out = scope.spawn(move || text(stdout));
        let err = scope.spawn(move || text(stderr));
        let status = match wait(&mut child, within).what(&what)? {
            Some(status) => status,
            None => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(LabError::new(&what, format!("not done after {} s", within.as_secs_f32())));
            }
        };
        let joined = |text: std::thread::Result<String>| text.unwrap_or_default();
        Ok(Output { code: code(status), out: joined(out.join()), err: joined(err.join()) })
    })
}

fn text(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The command as a child that dies with us.
fn prepare(command: &[&str]) -> Result<Command> {
    let mut child = Command::new("setpriv");
    child.args(["--pdeathsig", "KILL", "--"]).args(command).env("LC_ALL", "C");
    match command {
        [] => Err(LabError::new("a command", "it is empty")),
        _ => Ok(child),
    }
}

fn wait(child: &mut Child, within: Duration) -> std::io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + within;
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(Some(status)),
            None if Instant::now() >= deadline => return Ok(None),
            None => std::thread::sleep(POLL),
        }
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// A process that runs beside the lab; what it says goes to a file. It is killed when this is dropped, and by the
/// kernel when the thread that started it ends.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; `name` is how errors call it.
    ///
    /// # Errors
    /// It cannot be started, or the log cannot be written.
    pub fn start(name: &str, command: &[&str], log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log).what(log.display())?;
        let both = file.try_clone().what(log.display())?;
        let child = prepare(command)?.stdin(Stdio::null()).stdout(file).stderr(both).spawn().what(name)?;
        Ok(Self { name: name.into(), child, log: log.into() })
    }

    /// Waits until `line` stands in what it said since its start, or since the log was begun.
    ///
    /// # Errors
    /// It ends before that, or the time runs out; its last words are in the error.
    pub fn wait_for(&mut self, line: &str, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let ended = self.child.try_wait().what(&self.name)?;
            if self.said().contains(line) {
                return Ok(());
            }
            if let Some(status) = ended {
                let why = format!("ended with exit code {}: {}", code(status), self.last_words());
                return Err(LabError::new(&self.name, why));
            }
            if Instant::now() >= deadline {
                let why = format!("did not say {line:?} within {} s: {}", within.as_secs(), self.last_words());
                return Err(LabError::new(&self.name, why));
            }
            std::thread::sleep(POLL);
        }
    }

    /// All that it said.
    pub fn said(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn last_words(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join(" / ")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end (SIGTERM). Returns its exit code.
    ///
    /// # Errors
    /// It does not end within the time; it is killed then.
    pub fn stop(mut self, within: Duration) -> Result<i32> {
        let _ =
            rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM);
        self.wait(within)
    }

    /// Waits for its end. Returns its exit code.
    ///
    /// # Errors
    /// It does not end within the time; it is killed then.
    pub fn wait(&mut self, within: Duration) -> Result<i32> {
        match wait(&mut self.child, within).what(&self.name)? {
            Some(status) => Ok(code(status)),
            None => {
                self.kill();
                Err(LabError::new(
                    &self.name,
                    format!("did not end within {} s: {}", within.as_secs(), self.last_words()),
                ))
            }
        }
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_gives_its_code_and_words() {
        let output = output(&["sh", "-c", "echo out; echo err >&2; exit 3"], COMMAND).unwrap();
        assert_eq!((output.code, output.out.as_str(), output.err.as_str()), (3, "out\n", "err\n"));
        assert_eq!(run_with_input(&["cat"], "text").unwrap(), "text");
        let error = run(&["sh", "-c", "echo why >&2; exit 3"]).unwrap_err().to_string();
        assert!(error.contains("exit code 3: why"), "{error}");
    }

    #[test]
    fn a_command_that_hangs_is_ended() {
        let error = output(&["sleep", "1000"], Duration::from_millis(20)).unwrap_err().to_string();
        assert!(error.contains("not done after"), "{error}");
    }

    #[test]
    fn a_process_is_ended_with_its_handle() {
        let folder = tempfile::tempdir().unwrap();
        let command = ["sh", "-c", "echo up; exec sleep 1000"];
        let mut process = Process::start("sleeper", &command, &folder.path().join("log")).unwrap();
        process.wait_for("up", COMMAND).unwrap();
        assert!(process.runs());
        let id = process.id();
        drop(process);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn a_process_that_ends_early_is_told_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let command = ["sh", "-c", "echo no such port; exit 2"];
        let mut process = Process::start("gateway", &command, &folder.path().join("log")).unwrap();
        let error = process.wait_for("started in", COMMAND).unwrap_err().to_string();
        assert_eq!(error, "gateway: ended with exit code 2: no such port");
    }
}

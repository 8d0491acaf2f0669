//! A terminal (tmux) with a program in it.

use std::process::Command;
use std::time::{Duration, Instant};

/// It goes when this is dropped.
pub(crate) struct Terminal {
    server: String,
    /// Where the program keeps its state, as the history.
    pub(crate) home: tempfile::TempDir,
}

impl Terminal {
    /// A terminal of so many columns and lines, in which the shell does this line. Names of a test process are its own.
    pub(crate) fn new(name: &str, (width, height): (u32, u32), line: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let server = format!("culvert-{name}-{}", std::process::id());
        let line = format!("export XDG_STATE_HOME={}; {line}; sleep 60", home.path().display());
        let terminal = Self { server, home };
        let (width, height) = (width.to_string(), height.to_string());
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &width, "-y", &height, &line]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux").args(["-L", &self.server]).args(arguments).output();
        let output = output.unwrap_or_else(|error| panic!("tmux: {error} (configs/setup.sh test installs it)"));
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Types these keys, as tmux names them.
    pub(crate) fn types(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"][..], keys].concat());
    }

    /// The screen without blanks at its lines' ends, as soon as `good` says so.
    pub(crate) fn when(&self, wanted: &str, good: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let screen = self.tmux(&["capture-pane", "-p"]);
            let screen: String = screen.lines().map(|line| format!("{}\n", line.trim_end())).collect();
            let screen = screen.trim_end().to_owned();
            if good(&screen) {
                return screen;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "no {wanted:?} at the end of:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The screen, as soon as it ends so.
    pub(crate) fn until(&self, end: &str) -> String {
        self.when(end, |screen| screen.ends_with(end))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _gone = Command::new("tmux").args(["-L", &self.server, "kill-server"]).output();
    }
}

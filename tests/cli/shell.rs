//! The shell in a terminal (tmux): what a person sees.

use std::process::Command;
use std::time::{Duration, Instant};

/// A terminal of 100 by 30 with the shell in it. It goes when this is dropped.
struct Terminal {
    server: String,
    home: tempfile::TempDir,
}

impl Terminal {
    fn new(name: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let server = format!("culvert-{name}-{}", std::process::id());
        let program = env!("CARGO_BIN_EXE_culvert");
        let shell =
            format!("XDG_STATE_HOME={} {program} --socket /nowhere/culvert.sock; sleep 60", home.path().display());
        let terminal = Self { server, home };
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", &shell]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux").args(["-L", &self.server]).args(arguments).output();
        let output = output.unwrap_or_else(|error| panic!("tmux: {error} (configs/setup.sh test installs it)"));
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn types(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"][..], keys].concat());
    }

    /// The screen, as soon as it ends so.
    fn until(&self, end: &str) -> String {
        let began = Instant::now();
        loop {
            let screen = self.tmux(&["capture-pane", "-p"]);
            let screen: String = screen.lines().map(|line| format!("{}\n", line.trim_end())).collect();
            let screen = screen.trim_end().to_owned();
            if screen.ends_with(end) {
                return screen;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "no {end:?} at the end of:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _gone = Command::new("tmux").args(["-L", &self.server, "kill-server"]).output();
    }
}

#[test]
fn a_question_mark_lists_and_tab_completes_and_the_line_stays() {
    let terminal = Terminal::new("words");
    terminal.until("culvert>");
    terminal.types(&["set reco", "?"]);
    terminal.until("culvert> set reco");
    terminal.types(&["Tab"]);
    terminal.until("culvert> set record-core-cycles");
    terminal.types(&["?"]);
    let screen = terminal.until("culvert> set record-core-cycles");
    let expected = "\
culvert> set reco?
  record-core-cycles  whether data cores count their cycles by stage, for `show cycles` and `show co
res`
culvert> set record-core-cycles ?
  on   whether data cores count their cycles by stage, for `show cycles` and `show cores`
  off  whether data cores count their cycles by stage, for `show cycles` and `show cores`
culvert> set record-core-cycles";
    assert!(screen.ends_with(expected), "{screen}");
}

#[test]
fn mistakes_and_ctrl_c_leave_the_shell_alone_and_the_history_is_kept() {
    let terminal = Terminal::new("history");
    terminal.until("culvert>");
    terminal.types(&["show dorps", "Enter"]);
    terminal.until("culvert: there is no \"dorps\" after \"show\"; did you mean drops?\nculvert>");
    terminal.types(&["half a line", "C-c"]);
    terminal.until("culvert> half a line\nculvert>");
    terminal.types(&["Up"]);
    terminal.until("culvert> show dorps");
    terminal.types(&["C-c"]);
    terminal.until("culvert> show dorps\nculvert>");
    terminal.types(&["help quit | include leaves", "Enter"]);
    terminal.until("  leaves the shell; the gateway goes on\nculvert>");
    terminal.types(&["quit", "Enter"]);
    let began = Instant::now();
    let history = terminal.home.path().join("culvert/history");
    while !history.exists() {
        assert!(began.elapsed() < Duration::from_secs(20), "no history");
        std::thread::sleep(Duration::from_millis(50));
    }
}

//! The shell in a terminal (tmux): what a person sees.

use crate::terminal::Terminal;
use std::path::Path;
use std::time::{Duration, Instant};

/// The shell in a terminal of 100 by 30, with a gateway behind this socket.
fn shell(name: &str, socket: &Path) -> Terminal {
    let line = format!("{} --socket {}", env!("CARGO_BIN_EXE_culvert"), socket.display());
    Terminal::new(name, (100, 30), &line)
}

/// The same without a gateway.
fn alone(name: &str) -> Terminal {
    shell(name, Path::new("/nowhere/culvert.sock"))
}

#[test]
fn a_question_mark_lists_and_tab_completes_and_the_line_stays() {
    let terminal = alone("words");
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

/// What goes on and on ends by Ctrl-C, and the shell is there again.
#[test]
fn ctrl_c_ends_a_command_and_not_the_shell() {
    let folder = tempfile::tempdir().unwrap();
    let quiet = |_| "{\"events\":[],\"count\":{\"last\":3,\"lost\":0}}\n".to_owned();
    let terminal = shell("interrupt", &crate::fake::gateway(folder.path(), quiet));
    terminal.until("culvert>");
    for command in ["monitor", "show events --watch=0.2"] {
        terminal.types(&["-l", command]);
        terminal.types(&["Enter"]);
        terminal.until(if command == "monitor" { "culvert> monitor" } else { "Nothing happened yet." });
        // It is told once it runs.
        std::thread::sleep(Duration::from_millis(300));
        terminal.types(&["C-c"]);
        terminal.until("\nculvert>");
    }
    let long = folder.path().join("long");
    std::fs::write(&long, "help quit\n".repeat(1_000_000)).unwrap();
    terminal.types(&["-l", &format!("load {}", long.display())]);
    terminal.types(&["Enter"]);
    terminal.until("leaves the shell; the gateway goes on");
    terminal.types(&["C-c"]);
    terminal.until(": ended here by Ctrl-C\nculvert>");
}

#[test]
fn mistakes_and_ctrl_c_leave_the_shell_alone_and_the_history_is_kept() {
    let terminal = alone("history");
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

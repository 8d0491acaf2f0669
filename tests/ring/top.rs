//! `culvert top` on a terminal of 80 by 24, over the real gateway: what a person sees, but for the numbers.

use crate::client::Client;
use crate::packets::tagged;
use crate::rig::{HOST, Options, Rig, Source, lan_frame};
use crate::terminal::Terminal;
use culvert::config::keys::to_base64;
use regex::Regex;

/// Numbers as `#`, gaps as one blank, lines that are then the same once: a machine may have one core.
fn masked(screen: &str) -> String {
    let numbers = Regex::new(r"[0-9][0-9.]*( [kMG]\b)?( [kMG]?bit/s)?").unwrap();
    let gaps = Regex::new(" +").unwrap();
    let text = gaps.replace_all(&numbers.replace_all(screen, "#"), " ").into_owned();
    let mut lines: Vec<_> = text.lines().collect();
    lines.dedup();
    lines.join("\n")
}

#[test]
fn top_shows_cores_ports_drops_and_peers() {
    let mut client = Client::new(1);
    let (key, inner) = (to_base64(&client.key()), client.inner());
    let peers = format!("[Peer]\n# friendly_name = laptop\nPublicKey = {key}\nAllowedIPs = {inner}/32\n");
    let mut rig = Rig::new(&Options { peers, ..Options::default() });
    rig.connect(&mut client, 0);
    // One of them to nobody.
    let mut frames: Vec<_> = (0..50).map(|n| lan_frame(&tagged(HOST, &inner, n, 96))).collect();
    frames.push(lan_frame(&tagged(HOST, "10.99.0.1", 50, 96)));
    rig.blast(vec![Source::inner(0, frames)], |_, _, _| ());
    let line = format!(
        "{} --socket {} top; echo ended by $?",
        env!("CARGO_BIN_EXE_culvert"),
        rig.folder.path().join("culvert.sock").display()
    );
    let terminal = Terminal::new("top", (80, 24), &line);
    let foot = "\nq quits; peers by b both ways, r what we receive, s what we send";
    let screen = terminal.until(foot);
    let expected = "\
culvert: # packets/s in, # out, # dropped; # of # mbufs free

core busy turns/s
core-# # % # of its turns (no cycles are counted)

port rx packets/s rx tx packets/s tx
wan # # # #
lan # # # #

dropped as packets/s packets what it means
control_done # # a message that the control threads
no_peer # # no peer's allowed-ips hold the inne

peer* (#) on receives sends endpoint
laptop wg# # # #:#

q quits; peers by b both ways, r what we receive, s what we send";
    assert_eq!(masked(&screen), expected, "{screen}");
    terminal.types(&["r"]);
    terminal.when("receives*", |screen| screen.contains("receives*") && screen.contains("peer (1)"));
    terminal.types(&["q"]);
    terminal.until("ended by 0");
    // Who is told to end gives the terminal back as well.
    let pid = rig.folder.path().join("pid");
    let line = line.replace("; echo", "'; echo");
    let line = format!("sh -c 'echo $$ >{}; exec {line}; stty -a | grep -c -e -icanon", pid.display());
    let terminal = Terminal::new("told", (80, 24), &line);
    terminal.until(foot);
    let pid = std::fs::read_to_string(pid).unwrap();
    assert!(std::process::Command::new("kill").args(["-TERM", pid.trim()]).status().unwrap().success());
    terminal.until("ended by 143\n0");
    rig.finish();
}

/// Nothing is drawn where nothing can be.
#[test]
fn top_needs_a_gateway_and_a_terminal() {
    let line = format!("{} --socket /nowhere/culvert.sock top; echo ended by $?", env!("CARGO_BIN_EXE_culvert"));
    let screen = Terminal::new("nothing", (80, 24), &line).until("ended by 3");
    assert!(screen.starts_with("culvert: /nowhere/culvert.sock: No such file"), "{screen}");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_culvert")).arg("top").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("top draws on a terminal"), "{said}");
}

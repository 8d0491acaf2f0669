//! The command line without a gateway: transcripts, and input that nobody means.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod fake;
#[cfg(feature = "dpdk")]
mod pmd;
mod shell;
mod terminal;

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// `CULVERT_UPDATE=1` has no part in these: they are written by hand, or by `TRYCMD=overwrite cargo test --test cli`.
#[test]
fn transcripts() {
    trycmd::TestCases::new().env("NO_COLOR", "1").case("tests/cli/*.md");
}

/// The program with this as its standard input.
fn culvert(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_culvert"))
        .args(["--socket", "/nowhere/culvert.sock"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may have refused what came so far, and gone.
    let _broken_pipe = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn refused(input: &[u8], why: &str) {
    let output = culvert(&[], input);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains(why) && said.len() < 1000, "{said}");
}

#[test]
fn files_of_nonsense_are_refused_with_their_line() {
    refused(&[b'x'; 1 << 20], "culvert: -:1: a line of more than 65536 bytes");
    refused(&[&[b' '; 60_000][..], &[b'x'; 5000]].concat(), "culvert: -:1: there is no \"xxxx");
    refused(b"help\n\xff\xfe\0\n", "culvert: -:2: this is not text");
    refused(b"\0\x1b[2J\n", "culvert: -:1: there is no \"\\0\\u{1b}[2J\" command");
    refused(b"show 'drops\n", "culvert: -:1: a ' that nothing closes");
    refused("show \u{202e}drops\n".as_bytes(), "culvert: -:1: there is no \"\\u{202e}drops\"");
}

#[test]
fn a_configuration_is_checked_without_a_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let (file, key) = (folder.path().join("culvert.toml"), folder.path().join("wg0.key"));
    std::fs::write(&key, "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo=\n").unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let peer = "[Peer]\nPublicKey = BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\nAllowedIPs = 10.9.0.1/32\n";
    let text = "[[port]]\nname = \"wan\"\ndevice = \"net_null0\"\nrole = \"both\"\naddresses = [\"192.0.2.1/24\"]\n\
                [[interface]]\nname = \"wg0\"\nprivate_key_file = \"wg0.key\"\npeers_file = \"wg0.conf\"\n";
    let check = |peers: &str, text: &str| {
        std::fs::write(folder.path().join("wg0.conf"), peers).unwrap();
        std::fs::write(&file, text).unwrap();
        let output = culvert(&["config", "check", file.to_str().unwrap()], b"");
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said.replace(folder.path().to_str().unwrap(), ""))
    };
    let (code, said) = check(peer, text);
    assert!(code == Some(0) && said.contains("/culvert.toml: good, 1 peers"), "{said}");
    let (code, said) = check(peer, &text.replace("role", "roll"));
    assert!(code == Some(1) && said.starts_with("culvert: /culvert.toml:4") && said.contains("roll"), "{said}");
    let (code, said) = check(peer, &text.replace("\"wan\"", "\"all\""));
    assert!(code == Some(1) && said.starts_with("culvert: /culvert.toml:2") && said.contains("all ports"), "{said}");
    let (code, said) = check(&peer.replace("10.9", "10.999"), text);
    assert!(code == Some(1) && said.starts_with("culvert: /wg0.conf:3"), "{said}");
}

#[test]
fn a_file_goes_on_after_a_mistake_unless_told_to_end() {
    let lines = b"fly\nhelp quit | count\n";
    for (flags, said) in [(&[][..], "2\n"), (&["-e"], "")] {
        let output = culvert(flags, lines);
        assert!(output.status.code() == Some(2) && output.stdout == said.as_bytes(), "{flags:?}: {output:?}");
    }
}

/// `--watch` holds for one command: `load` is done again and again, its lines are not.
#[test]
fn a_file_is_watched_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("twice");
    std::fs::write(&file, "help quit | count\nhelp load | count\nquit\n").unwrap();
    let file = file.to_str().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_culvert"))
        .args(["--watch=0.1", "load", file])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let lines: Vec<String> = lines.take(4).map(Result::unwrap).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(lines, ["2", "4", "2", "4"]);
    let refused = culvert(&["--watch", "-f", file], b"");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(2) && said.contains("--watch takes a command"), "{said}");
}

/// They are no commands, but in a line of a file they do what they do as arguments.
#[test]
fn flags_alone_do_something_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("inner");
    std::fs::write(&file, "help quit | count\n").unwrap();
    let input = format!("-V\n-f {}\n--help | count\n", file.display());
    let output = culvert(&[], input.as_bytes());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.starts_with("culvert 0.1.0\n2\nculvert [FLAG]"), "{said}");
    let output = culvert(&[], b"-e -x\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("-:1: flags, and no command"), "{said}");
}

#[test]
fn a_file_that_loads_itself_ends() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("again");
    std::fs::write(&file, format!("load {}\n", file.display())).unwrap();
    let output = culvert(&["-f", file.to_str().unwrap()], b"");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("more than 8 deep"), "{said}");
}

/// What each shell itself offers for `culvert show dro`, and behind a blank.
#[test]
fn shells_complete_words() {
    let program = env!("CARGO_BIN_EXE_culvert");
    let bash = "COMP_WORDS=(culvert show dro); COMP_CWORD=2; _culvert; echo \"${COMPREPLY[@]}\"
                COMP_WORDS=(culvert clear port ''); COMP_CWORD=3; _culvert; echo \"${COMPREPLY[@]}\"";
    // Without a line editor there is no completion to be asked: what it would be told is looked at.
    let zsh = "_describe() { print -r -- ${lines%%:*}; }
               words=(culvert show dro); CURRENT=3; _culvert; words=(culvert clear port ''); CURRENT=4; _culvert";
    let fish =
        "complete -C 'culvert show dro' | cut -f1; complete -C 'culvert clear port ' | cut -f1 | string join ' '";
    for (shell, begin, ask) in [
        ("bash", "eval \"$(culvert completions bash)\"", bash),
        ("zsh", "compdef() { : }; eval \"$(culvert completions zsh)\"", zsh),
        ("fish", "culvert completions fish | source", fish),
    ] {
        if Command::new(shell).arg("-c").arg("true").output().is_err() {
            assert_ne!(shell, "bash", "bash is on every Debian");
            eprintln!("{shell} is not installed: its completion was not tried");
            continue;
        }
        let folder = std::path::Path::new(program).parent().unwrap().display().to_string();
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
        let output = Command::new(shell).arg("-c").arg(format!("{begin}\n{ask}")).env("PATH", path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "drops\nstats xstats\n", "{shell}: {said}");
    }
}

/// groff takes each page without a word of warning.
#[test]
fn the_manuals_are_clean_troff() {
    for (page, shown) in [
        (&["man"][..], &["show drops", "SEE ALSO"][..]),
        (&["man", "culvertd"], &["--key-log", "CULVERTD(8)", "SIGTERM", "[default: /etc/culvert/culvert.toml]"]),
        (
            &["man", "culvert.toml"],
            &["[[interface]]", "private_key_file = a file's name", "Default: 1420.", "CULVERT.TOML(5)"],
        ),
    ] {
        let page = culvert(page, b"").stdout;
        let mut groff = match Command::new("groff")
            .args(["-ww", "-man", "-Tutf8", "-P-cbou", "-rLL=200n"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
        {
            Ok(groff) => groff,
            Err(error) => panic!("groff: {error} (configs/setup.sh test installs it)"),
        };
        groff.stdin.take().unwrap().write_all(&page).unwrap();
        let output = groff.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let text = String::from_utf8_lossy(&output.stdout);
        for shown in shown {
            assert!(text.contains(shown), "{shown}: {text}");
        }
    }
}

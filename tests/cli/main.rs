//! The command line without a gateway: transcripts, and input that nobody means.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod shell;

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
    let (code, said) = check(&peer.replace("10.9", "10.999"), text);
    assert!(code == Some(1) && said.starts_with("culvert: /wg0.conf:3"), "{said}");
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

#[test]
fn completions_are_what_shells_can_read() {
    for (shell, check) in [("bash", "complete -p culvert"), ("zsh", "true"), ("fish", "true")] {
        let script = culvert(&["completions", shell], b"");
        assert!(script.status.success() && script.stdout.len() > 50);
        if Command::new(shell).arg("-c").arg("true").output().is_err() {
            eprintln!("{shell} is not installed: its completion was not tried");
            continue;
        }
        let script = String::from_utf8(script.stdout).unwrap();
        let output = Command::new(shell).arg("-c").arg(format!("{script}\n{check}")).output().unwrap();
        assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Bash itself completes `culvert show dro`.
#[test]
fn bash_completes_a_word() {
    let program = env!("CARGO_BIN_EXE_culvert");
    let script = format!(
        "culvert() {{ '{program}' \"$@\"; }}; eval \"$(culvert completions bash)\"; \
         COMP_WORDS=(culvert show dro); COMP_CWORD=2; _culvert; echo \"${{COMPREPLY[@]}}\""
    );
    let output = Command::new("bash").arg("-c").arg(script).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "drops\n");
}

/// groff takes the page without a word of warning.
#[test]
fn the_manual_is_clean_troff() {
    let page = culvert(&["man"], b"").stdout;
    let mut groff = match Command::new("groff")
        .args(["-ww", "-man", "-Tutf8", "-P-cbou"])
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
    assert!(String::from_utf8_lossy(&output.stdout).contains("show drops"));
}

//! Both control sockets under abuse while packets flow through the real gateway (TESTING A26). What the `wg` socket says to each abuse is
//! in `tests/gateway/control_socket.rs`; here are the gateway's own, `culvert.sock`, and the limits that the gateway gives the other.

use crate::client::Client;
use crate::rig::{Options, Rig, uapi};
use culvert::api::Request;
use culvert::cli;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::thread::{self, Gid, Uid};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// What it answers to one request.
fn ask(path: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    // It closes once it has heard enough.
    let _broken_pipe = stream.write_all(request);
    // The `wg` socket would wait for the next request.
    let _gone = stream.shutdown(Shutdown::Write);
    let mut answer = String::new();
    let _reset = stream.read_to_string(&mut answer);
    answer
}

fn shows(path: &Path) {
    let json: serde_json::Value =
        serde_json::from_str(&ask(path, b"{\"do\":\"show-account\"}\n")).expect("one line of JSON");
    assert!(json["account"]["rx"].as_u64().unwrap() > 0, "{json}");
}

/// So many who connect and say this, and nothing more.
fn silent(path: &Path, count: usize, said: &[u8]) -> Vec<UnixStream> {
    let connect = || {
        let mut stream = UnixStream::connect(path).unwrap();
        // Its place may have been given to another meanwhile.
        let _broken_pipe = stream.write_all(said);
        stream
    };
    std::iter::repeat_with(connect).take(count).collect()
}

/// Whether the other end goes, within far more than its patience.
fn hangs_up(stream: &UnixStream) -> bool {
    let long = rustix::event::Timespec { tv_sec: 20, tv_nsec: 0 };
    let mut fds = [PollFd::new(stream, PollFlags::empty())];
    poll(&mut fds, Some(&long)).unwrap();
    fds[0].revents().contains(PollFlags::HUP)
}

/// Everything that a client of `culvert.sock` can do wrong.
fn abuse(path: &Path) {
    shows(path);
    for nonsense in [
        &b"\n"[..],
        b"\xff\xfe\0\n",
        b"set=1\nreplace_peers=true\n\n",
        b"show me\n",
        b"{\"do\":\"fly\"}\n",
        b"get=1\n\n",
    ] {
        let stream = ask(path, nonsense);
        assert!(stream.starts_with("{\"error\":\"unknown request"), "{stream}");
    }
    // A line of a megabyte: an error, or the end, but nobody waits for the rest of it.
    let answer = ask(path, &vec![b'a'; 1 << 20]);
    assert!(answer.is_empty() || answer.starts_with("{\"error\""), "{answer}");
    shows(path);
    // Half a line, and then nothing; a thousand who never say a word; and somebody who only wants to know.
    let half = silent(path, 20, b"sho");
    let idle = silent(path, 1000, b"");
    for _ in 0..20 {
        shows(path);
    }
    drop((half, idle));
    shows(path);
    assert!(hangs_up(&silent(path, 1, b"{\"do\"").remove(0)), "it is waited for without end");
}

/// Who may only connect, by the socket's group as one of his others, is shown things and changes none.
#[test]
fn others_of_the_group_change_nothing() {
    let rig = Rig::new(&Options::default());
    let folder = rig.folder.path().to_owned();
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o711)).unwrap();
    let path = folder.join("culvert.sock");
    let changes = b"{\"do\":\"set-log\",\"level\":\"info\"}\n";
    assert!(!ask(&path, changes).contains("only root"), "root may");
    let nobody = std::thread::spawn(move || {
        // Of this thread alone.
        thread::set_thread_groups(&[Gid::ROOT]).unwrap();
        let gid = Gid::from_raw(65534);
        thread::set_thread_res_gid(gid, gid, gid).unwrap();
        let uid = Uid::from_raw(65534);
        thread::set_thread_res_uid(uid, uid, uid).unwrap();
        assert!(ask(&path, b"{\"do\":\"show-account\"}\n").starts_with("{\"account\""));
        let answer = ask(&path, changes);
        assert!(answer.starts_with("{\"error\":\"only root, "), "{answer}");
    });
    nobody.join().unwrap();
    rig.finish();
}

/// An answer that no buffer of the kernel holds waits for its reader, and for nobody else: each of these would have held all others up for
/// two seconds.
#[test]
fn slow_readers_slow_only_themselves() {
    let peers = 2000;
    let rig = Rig::new(&Options { max_peers: peers, ..Options::default() });
    let clients: Vec<_> =
        (0..peers).map(|n| format!("public_key={n:064x}\nallowed_ip=10.8.{}.{}/32\n", n / 250, n % 250)).collect();
    uapi(rig.folder.path(), &clients.concat());
    let path = rig.folder.path().join("culvert.sock");
    let question = b"{\"do\":\"show-peers\",\"sort\":\"rx\",\"limit\":10000}\n";
    let slow = silent(&path, 20, question);
    let answer = cli::ask(&path, &Request::ShowAccount).unwrap();
    assert_eq!(answer["account"]["rx"], 0);
    // Who reads at last gets it whole, or nothing more once it has been waited for long enough.
    let whole = ask(&path, question);
    assert!(whole.len() > 300_000 && whole.ends_with("}\n"), "{}", whole.len());
    // Who never reads is given up.
    let hang_up = slow.iter().filter(|stream| hangs_up(stream)).count();
    assert_eq!(hang_up, slow.len());
    drop(slow);
    rig.finish();
}

/// TESTING A26: an error or nothing, no change, and no packet is lost meanwhile.
#[test]
fn sockets_under_abuse_cost_no_packet() {
    let mut rig = Rig::new(&Options::default());
    let mut client = Client::new(1);
    rig.add(&client);
    rig.connect(&mut client, 0);
    let folder = rig.folder.path().to_owned();
    rig.traffic_during(&mut client, || {
        abuse(&folder.join("culvert.sock"));
        let wg = folder.join("wireguard/wg0.sock");
        let (half, idle) = (silent(&wg, 20, b"set=1\nreplace_peers=true\nlisten_po"), silent(&wg, 1000, b""));
        uapi(&folder, "");
        assert!(ask(&wg, b"set=1\nprivate_key=zz\n\n").starts_with("errno=-"));
        drop((half, idle));
    });
    rig.finish();
}

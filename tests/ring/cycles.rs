//! `record-core-cycles`: a running gateway counts the cycles of its stages when asked, and only then.

use crate::client::Client;
use crate::far::Seen;
use crate::packets;
use crate::rig::{HOST, HOST_MAC, Options, Rig, Source};
use culvert::api::Request;
use culvert::cli;
use serde_json::Value;

/// Packets of a round.
const PACKETS: usize = 500;

/// One `cycles` figure of a stage, over all cores.
fn sum(rig: &Rig, stage: &str, what: &str) -> u64 {
    let answer = cli::ask(&rig.folder.path().join("culvert.sock"), &Request::ShowCycles).unwrap();
    let rows = answer["cycles"].as_array().unwrap().clone();
    let rows = rows.iter().filter(|row| row["stage"] == stage);
    rows.map(|row| row[what].as_u64().unwrap()).sum()
}

fn set(rig: &Rig, on: bool) -> Value {
    cli::ask(&rig.folder.path().join("culvert.sock"), &Request::SetRecordCoreCycles { on }).unwrap()
}

fn round(rig: &mut Rig, client: &mut Client) {
    let frames: Vec<_> =
        (0..PACKETS as u32).map(|number| client.data(&packets::tagged(&client.inner(), HOST, number, 64))).collect();
    let mut arrived = 0;
    rig.blast(vec![Source::outer(0, frames)], |outer, _, seen| {
        arrived += usize::from(!outer && matches!(seen, Seen::Frame(frame) if frame[..6] == HOST_MAC.0));
    });
    assert_eq!(arrived, PACKETS);
}

#[test]
fn stages_are_counted_when_asked_and_only_then() {
    let mut rig = Rig::new(&Options::default());
    let mut client = Client::new(1);
    rig.add(&client);
    rig.connect(&mut client, 0);
    round(&mut rig, &mut client);
    let stages = ["rx", "classify", "handoff", "drain", "aead", "release", "tx"];
    assert!(stages.iter().all(|stage| sum(&rig, stage, "cycles") == 0), "it was not asked to");

    assert_eq!(set(&rig, true)["record-core-cycles"], "on");
    // Of an idle gateway nothing but idle cycles come; when some have, every core has heard of it or sleeps.
    std::thread::sleep(std::time::Duration::from_millis(10));
    assert!(sum(&rig, "idle", "cycles") > 0);
    round(&mut rig, &mut client);
    for stage in stages {
        let (cycles, packets, units) =
            (sum(&rig, stage, "cycles"), sum(&rig, stage, "packets"), sum(&rig, stage, "units"));
        assert!(cycles > 0, "{stage}");
        assert_eq!(packets, PACKETS as u64, "{stage}");
        assert!((1..=packets).contains(&units), "{stage}: {units}");
    }

    set(&rig, false);
    std::thread::sleep(std::time::Duration::from_millis(10));
    round(&mut rig, &mut client);
    assert_eq!(sum(&rig, "aead", "packets"), PACKETS as u64);
    rig.finish();
}

//! `culvert trace`: each packet's way is told whole, in order, and its end is the one that the counters know.

use crate::answers::{json, refusal, text};
use crate::client::Client;
use crate::packets::tagged;
use crate::rig::{HOST, Options, Rig, Source, lan_frame};
use culvert::config::keys::to_base64;
use serde_json::Value;
use std::collections::BTreeMap;

/// The trace when it is over, packet by packet.
fn ways(rig: &Rig) -> Vec<Vec<Value>> {
    let shown = loop {
        let shown = json(rig, "show trace");
        if shown["trace"]["state"] != "running" {
            break shown;
        }
        std::thread::yield_now();
    };
    assert_eq!((&shown["trace"]["state"], &shown["trace"]["lost"]), (&"done".into(), &0.into()), "{shown}");
    assert_eq!(shown["trace"]["complete"], shown["trace"]["wanted"], "{shown}");
    let mut ways: Vec<Vec<Value>> = Vec::new();
    for step in shown["steps"].as_array().unwrap() {
        if step["step"] == "rx" {
            ways.push(Vec::new());
        }
        assert_eq!(step["packet"], ways.len());
        ways.last_mut().unwrap().push(step.clone());
    }
    ways
}

fn steps(way: &[Value]) -> Vec<&str> {
    way.iter().map(|step| step["step"].as_str().unwrap()).collect()
}

fn rig(client: &Client, other: &Client) -> Rig {
    let peer =
        |client: &Client| format!("PublicKey = {}\nAllowedIPs = {}/32\n", to_base64(&client.key()), client.inner());
    let peers = format!("[Peer]\n# friendly_name = laptop\n{}[Peer]\n{}", peer(client), peer(other));
    Rig::new(&Options { peers, ..Options::default() })
}

#[test]
fn ends_of_traced_packets_are_those_that_the_counters_know() {
    culvert::gateway::logs::init(culvert::config::LogFormat::Text);
    let (mut client, other) = (Client::new(1), Client::new(2));
    let mut rig = rig(&client, &other);
    rig.connect(&mut client, 0);
    let inner = client.inner();
    let good: Vec<_> = (0..40).map(|n| client.data(&tagged(&inner, HOST, n, 96))).collect();
    let mut forged: Vec<_> = (0..10).map(|n| client.data(&tagged(&inner, HOST, n, 96))).collect();
    for frame in &mut forged {
        frame[40..42].fill(0);
        *frame.last_mut().unwrap() ^= 1;
    }
    let replayed = good[..5].to_vec();
    let outer = [good, forged, replayed, vec![vec![0xee; 60]]].concat();
    let outward = (0..30).map(|n| lan_frame(&tagged(HOST, &inner, n, 96)));
    let nobodys = (0..7).map(|n| lan_frame(&tagged(HOST, "10.99.0.1", n, 64)));
    let lan: Vec<_> = outward.chain(nobodys).collect();
    let packets = outer.len() + lan.len();

    let counted = |rig: &Rig| -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        for row in json(rig, "show drops")["drops"].as_array().unwrap() {
            *all.entry(row["reason"].as_str().unwrap().to_owned()).or_default() += row["packets"].as_u64().unwrap();
        }
        for row in json(rig, "show port stats all")["port_stats"].as_array().unwrap() {
            all.insert(format!("tx {}", row["name"].as_str().unwrap()), row["tx_packets"].as_u64().unwrap());
        }
        all
    };
    let before = counted(&rig);
    text(&rig, &format!("trace add {packets}"));
    rig.blast(vec![Source::outer(0, outer), Source::inner(0, lan)], |_, _, _| ());
    let mut after = counted(&rig);
    after.iter_mut().for_each(|(what, packets)| *packets -= before.get(what).unwrap_or(&0));
    // Some of them are told by a packet of our own, which nobody traces.
    let told = after.get("no_peer").copied().unwrap_or(0);
    *after.get_mut("tx lan").unwrap() -= told;
    after.retain(|_, packets| *packets > 0);

    let ways = ways(&rig);
    assert_eq!(ways.len(), packets);
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    for way in &ways {
        let last = way.last().unwrap();
        let end = match last["reason"].as_str() {
            Some(reason) => reason.to_owned(),
            None => last["what"].as_str().unwrap().replace("port ", "tx "),
        };
        *ends.entry(end).or_default() += 1;
        assert!(way.windows(2).all(|pair| pair[0]["cycles"].as_u64() <= pair[1]["cycles"].as_u64()), "{way:?}");
        assert!(way[0]["what"].as_str().unwrap().contains("of a burst of"));
    }
    assert_eq!(ends, after);
    let whole = ["rx", "classify", "drain", "aead", "release", "tx"];
    let through: Vec<_> = ways.iter().filter(|way| steps(way) == whole).collect();
    assert_eq!(through.len(), 70, "{:?}", ways.iter().map(|way| steps(way)).collect::<Vec<_>>());
    assert!(through.iter().all(|way| way[1]["what"].as_str().unwrap().contains("laptop")));
    let refused = ways.iter().filter(|way| way.iter().any(|step| step["what"] == "refused: auth_failed")).count();
    assert_eq!(refused, 10);
    assert!(text(&rig, "show trace").contains("auth_failed: the tag does not fit"));
    rig.finish();
}

#[test]
fn a_trace_is_of_so_many_packets_of_one_peer_and_can_be_cleared() {
    let (mut client, mut other) = (Client::new(1), Client::new(2));
    let mut rig = rig(&client, &other);
    rig.connect(&mut client, 0);
    rig.connect(&mut other, 0);
    assert_eq!(json(&rig, "show trace")["trace"]["state"], "none");
    for (line, why) in [
        ("trace add 0", "1 to 1000 packets"),
        ("trace add 1001", "1 to 1000 packets"),
        ("trace add 5 peer 10.200.0.1", "no peer's allowed ips hold"),
    ] {
        assert!(refusal(&rig, line).contains(why), "{line}");
    }
    let blast = |rig: &mut Rig, client: &mut Client| {
        let inner = client.inner();
        let inward: Vec<_> = (0..50).map(|n| client.data(&tagged(&inner, HOST, n, 96))).collect();
        let outward: Vec<_> = (0..50).map(|n| lan_frame(&tagged(HOST, &inner, n, 96))).collect();
        rig.blast(vec![Source::outer(0, inward), Source::inner(0, outward)], |_, _, _| ());
    };
    text(&rig, "trace add 20 peer laptop");
    blast(&mut rig, &mut other);
    assert_eq!(json(&rig, "show trace")["trace"]["begun"], 0, "another's");
    blast(&mut rig, &mut client);
    let ways = ways(&rig);
    assert_eq!(ways.len(), 20);
    assert!(ways.iter().all(|way| way[1]["what"].as_str().unwrap().contains("laptop")));
    // What is traced anew is not mixed with it; what is cleared is gone, whether it runs or not.
    text(&rig, "trace add 30 peer laptop");
    assert_eq!(json(&rig, "show trace")["trace"]["begun"], 0);
    text(&rig, "clear trace");
    blast(&mut rig, &mut client);
    assert_eq!(json(&rig, "show trace")["trace"]["state"], "none");
    text(&rig, "trace add 1000");
    blast(&mut rig, &mut client);
    assert_eq!(json(&rig, "show trace")["trace"]["state"], "running");
    rig.finish();
}

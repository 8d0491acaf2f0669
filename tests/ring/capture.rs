//! `culvert capture`: what stands in the file is what passed, by the gateway's own counters and byte for byte.

use crate::answers::{json, refusal, text};
use crate::client::Client;
use crate::far::Seen;
use crate::packets::{tag, tagged};
use crate::rig::{HOST, Options, Rig, Source, add, lan_frame, uapi};
use culvert::config::keys::to_base64;
use pcap_file::pcapng::PcapNgReader;
use pcap_file::pcapng::blocks::Block;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const N: u32 = 300;
const IN: u32 = 1;
const OUT: u32 = 2;

/// A packet of a file.
struct Packet {
    interface: String,
    flags: u32,
    time: Duration,
    len: u32,
    data: Vec<u8>,
    comment: String,
}

fn read(path: &Path) -> Vec<Packet> {
    let mut reader = PcapNgReader::new(File::open(path).unwrap()).unwrap();
    let (mut names, mut packets) = (Vec::new(), Vec::new());
    while let Some(block) = reader.next_block() {
        match block.unwrap().0 {
            Block::InterfaceDescription(interface) => names.extend(interface.options.iter().find_map(|o| match o {
                InterfaceDescriptionOption::IfName(name) => Some(name.to_string()),
                _ => None,
            })),
            Block::EnhancedPacket(packet) => {
                let (mut flags, mut comment) = (0, String::new());
                for option in &packet.options {
                    match option {
                        EnhancedPacketOption::Flags(f) => flags = *f,
                        EnhancedPacketOption::Common(CommonOption::Comment(c)) => comment = c.to_string(),
                        _ => {}
                    }
                }
                packets.push(Packet {
                    interface: names[packet.interface_id as usize].clone(),
                    flags,
                    time: packet.timestamp,
                    len: packet.original_len,
                    data: packet.data.to_vec(),
                    comment,
                });
            }
            _ => {}
        }
    }
    packets
}

fn of<'a>(packets: &'a [Packet], interface: &str, flags: u32) -> Vec<&'a Packet> {
    packets.iter().filter(|p| p.interface == interface && p.flags == flags).collect()
}

/// How many packets Wireshark's own reader finds that fit a filter; `None` where it is not installed.
fn tshark(path: &Path, filter: &str) -> Option<usize> {
    let output = Command::new("tshark").args(["-n", "-Y", filter, "-r"]).arg(path).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).lines().count())
}

fn rig(clients: &[&Client]) -> Rig {
    let peers = clients.iter().map(|client| {
        format!("[Peer]\nPublicKey = {}\nAllowedIPs = {}/32\n", to_base64(&client.key()), client.inner())
    });
    Rig::new(&Options { peers: peers.collect(), ..Options::default() })
}

/// `N` packets of the client each way, as they are inside.
fn both_ways(rig: &mut Rig, client: &mut Client) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let inner = client.inner();
    let inward: Vec<_> = (0..N).map(|n| tagged(&inner, HOST, n, 96)).collect();
    let outward: Vec<_> = (0..N).map(|n| tagged(HOST, &inner, n, 96)).collect();
    let sealed: Vec<_> = inward.iter().map(|packet| client.data(packet)).collect();
    let frames: Vec<_> = outward.iter().map(|packet| lan_frame(packet)).collect();
    rig.blast(vec![Source::outer(0, sealed), Source::inner(0, frames)], |_, _, _| ());
    (inward, outward)
}

fn file(rig: &Rig, name: &str) -> PathBuf {
    rig.folder.path().join(name)
}

fn figures(rig: &Rig, port: &str) -> (usize, usize) {
    let row = &json(rig, &format!("show port stats {port}"))["port_stats"][0];
    let of = |key: &str| usize::try_from(row[key].as_u64().unwrap()).unwrap();
    (of("rx_packets"), of("tx_packets"))
}

#[test]
fn every_packet_is_there_and_those_inside_are_intact() {
    culvert::gateway::logs::init(culvert::config::LogFormat::Text);
    let mut client = Client::new(1);
    let mut rig = rig(&[&client]);
    rig.connect(&mut client, 0);
    let path = file(&rig, "all.pcapng");
    let before = figures(&rig, "wan");
    text(&rig, &format!("capture start {}", path.display()));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let (inward, outward) = both_ways(&mut rig, &mut client);
    let after = figures(&rig, "wan");
    let shown = json(&rig, "capture stop");
    let packets = read(&path);
    assert_eq!(shown["capture"]["state"], "stopped");
    assert_eq!(
        (&shown["capture"]["packets"], &shown["capture"]["lost"]),
        (&packets.len().into(), &0.into()),
        "{shown}"
    );

    let (came, went) = (of(&packets, "wan", IN), of(&packets, "wan", OUT));
    assert_eq!((came.len(), went.len()), (after.0 - before.0, after.1 - before.1), "as the port counts");
    let opened: Vec<_> = of(&packets, "wg0", IN).iter().map(|p| p.data.clone()).collect();
    assert_eq!(opened, inward);
    // Two workers seal at once, so it is not their order. One hop less to live: all else is as it came.
    let sealed = of(&packets, "wg0", OUT);
    let mut tags: Vec<u32> = sealed.iter().map(|p| tag(&p.data)).collect();
    tags.sort_unstable();
    assert_eq!(tags, (0..N).collect::<Vec<_>>());
    assert!(sealed.iter().all(|p| p.data[12..] == outward[tag(&p.data) as usize][12..]));
    for frame in went.iter().filter(|p| p.data[42] == 4) {
        assert!(client.open(&frame.data[42..]).is_some(), "what the wire has can be opened");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!(packets.iter().all(|p| p.time <= now && p.time > now - Duration::from_secs(600)));
    assert!(packets.windows(2).filter(|pair| pair[0].time > pair[1].time).count() < packets.len() / 10);
    if let Some(inner) = tshark(&path, "frame.interface_name == \"wg0\" && udp.dstport == 2 && ip.src == 10.0.0.9") {
        assert_eq!(inner, N as usize);
        assert_eq!(tshark(&path, "udp.dstport == 51820 && frame.packet_flags_direction == 1"), Some(came.len()));
        assert_eq!(tshark(&path, "ip.checksum.status == 0 || _ws.malformed"), Some(0));
    }
    // What nobody watches any more costs nothing, and the file stays as it is.
    both_ways(&mut rig, &mut client);
    assert_eq!(read(&path).len(), packets.len());
    rig.finish();
}

#[test]
fn a_peers_packets_are_told_from_all_others() {
    let (mut one, mut two) = (Client::new(1), Client::new(2));
    let mut rig = rig(&[&one, &two]);
    rig.connect(&mut one, 0);
    rig.connect(&mut two, 0);
    let key = to_base64(&two.key());
    for (words, wan, wg0) in [("", true, true), ("inner ", false, true), ("outer ", true, false)] {
        let path = file(&rig, &format!("{}.pcapng", words.trim()));
        text(&rig, &format!("capture start {} {words}peer {key} snap 60", path.display()));
        let others = both_ways(&mut rig, &mut one);
        let (inward, _) = both_ways(&mut rig, &mut two);
        assert_eq!(others.0.len(), inward.len());
        text(&rig, "capture stop");
        let packets = read(&path);
        for (interface, wanted) in [("wan", wan), ("wg0", wg0)] {
            for flags in [IN, OUT] {
                let of = of(&packets, interface, flags).len();
                assert_eq!(of, if wanted { N as usize } else { 0 }, "{words}{interface} {flags}");
            }
        }
        assert!(packets.iter().all(|p| p.data.len() == 60 && p.len >= 96), "the first bytes of each");
        assert!(of(&packets, "wg0", IN).iter().zip(&inward).all(|(p, sent)| p.data == sent[..60]));
    }
    rig.finish();
}

/// Whose they are is known only once they are worked on; the frames are whole all the same.
#[test]
fn a_peers_handshakes_are_among_its_packets() {
    let (mut one, mut two) = (Client::new(1), Client::new(2));
    let mut rig = rig(&[&one, &two]);
    let key = to_base64(&two.key());
    let (both, inner) = (file(&rig, "both.pcapng"), file(&rig, "inner.pcapng"));
    for (path, words, frames) in [(&both, "", 1), (&inner, "inner ", 0)] {
        text(&rig, &format!("capture start {} {words}peer {key}", path.display()));
        rig.connect(&mut one, 0);
        let asked = two.initiation();
        let frame = two.frame(&asked);
        let mut answer = Vec::new();
        rig.blast(vec![Source::outer(0, [frame.clone()])], |outer, _, seen| {
            if let (true, Seen::Frame(frame)) = (outer, seen) {
                answer.push(frame.to_vec());
            }
        });
        // A copy of it is refused, and is shown too: who looks wants to know.
        rig.blast(vec![Source::outer(0, [frame.clone()])], |_, _, _| ());
        text(&rig, "capture stop");
        let packets = read(path);
        let (came, went) = (of(&packets, "wan", IN), of(&packets, "wan", OUT));
        assert_eq!((came.len(), went.len(), packets.len()), (2 * frames, frames, 3 * frames), "{words}");
        assert!(came.iter().all(|packet| packet.data == frame));
        assert!(went.iter().all(|packet| answer.contains(&packet.data)), "the response, as it left");
    }
    rig.finish();
}

/// Another may have its place in the data path then: nothing of his is to stand in its file.
#[test]
fn a_capture_and_a_trace_of_a_peer_end_with_it() {
    let mut client = Client::new(1);
    let mut rig = rig(&[&client]);
    rig.connect(&mut client, 0);
    let (key, path) = (to_base64(&client.key()), file(&rig, "gone.pcapng"));
    text(&rig, &format!("capture start {} peer {key}", path.display()));
    text(&rig, &format!("trace add 1000 peer {key}"));
    both_ways(&mut rig, &mut client);
    text(&rig, &format!("peer remove {key}"));
    for what in ["capture", "trace"] {
        let shown = loop {
            let shown = json(&rig, &format!("show {what}"));
            if shown[what]["state"] != "running" {
                break shown;
            }
            std::thread::yield_now();
        };
        assert_eq!(shown[what]["state"], "the peer is gone", "{shown}");
    }
    assert!(!read(&path).is_empty(), "what was its own stays");
    assert!(refusal(&rig, "capture stop").contains("no capture runs"));
    rig.finish();
}

#[test]
fn dropped_packets_say_why() {
    let mut client = Client::new(1);
    let mut rig = rig(&[&client]);
    rig.connect(&mut client, 0);
    let path = file(&rig, "drops.pcapng");
    let drops = |rig: &Rig| -> BTreeMap<String, u64> {
        let answer = json(rig, "show drops");
        let rows = answer["drops"].as_array().unwrap().iter();
        rows.fold(BTreeMap::new(), |mut all, row| {
            *all.entry(row["reason"].as_str().unwrap().to_owned()).or_default() += row["packets"].as_u64().unwrap();
            all
        })
    };
    let before = drops(&rig);
    text(&rig, &format!("capture start {} drops", path.display()));
    let forged: Vec<_> = (0..N)
        .map(|n| {
            let mut frame = client.data(&tagged(&client.inner(), HOST, n, 96));
            // Nobody checks the sum of what he is to open.
            frame[40..42].fill(0);
            *frame.last_mut().unwrap() ^= 1;
            frame
        })
        .collect();
    let spoofed: Vec<_> = (0..10).map(|n| client.data(&tagged("10.66.0.1", HOST, n, 64))).collect();
    let nobodys: Vec<_> = (0..20).map(|n| lan_frame(&tagged(HOST, "10.99.0.1", n, 64))).collect();
    let strange = vec![0xee; 60];
    let outer = [forged.clone(), spoofed, vec![strange.clone()]].concat();
    rig.blast(vec![Source::outer(0, outer), Source::inner(0, nobodys.clone())], |_, _, _| ());
    text(&rig, "capture stop");
    let packets = read(&path);
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    for packet in &packets {
        let (reason, hint) = packet.comment.strip_prefix("dropped: ").unwrap().split_once(": ").unwrap();
        assert!(hint.len() > 10 && packet.flags == 0);
        *told.entry(reason.to_owned()).or_default() += 1;
    }
    let mut counted = drops(&rig);
    counted.iter_mut().for_each(|(reason, packets)| *packets -= before.get(reason).unwrap_or(&0));
    counted.retain(|_, packets| *packets > 0);
    assert_eq!(told, counted, "as `show drops` counts");
    let of = |reason: &str| packets.iter().filter(|p| p.comment.contains(reason)).collect::<Vec<_>>();
    // What was cut out of its frame has its headers back.
    assert_eq!(of("auth_failed").iter().map(|p| p.data.len()).collect::<Vec<_>>(), vec![forged[0].len(); N as usize]);
    assert!(of("auth_failed").iter().zip(&forged).all(|(p, sent)| p.interface == "wan" && p.data[..58] == sent[..58]));
    assert!(of("allowedips_src").iter().all(|p| p.interface == "dropped-inner" && p.data[12..16] == [10, 66, 0, 1]));
    assert_eq!(of("allowedips_src").len(), 10);
    assert_eq!(of("not_our_mac")[0].data, strange);
    if let Some(forgeries) = tshark(&path, "frame.comment contains \"auth_failed\" && udp.dstport == 51820") {
        assert_eq!(forgeries, N as usize);
    }
    rig.finish();
}

#[test]
fn a_capture_ends_at_its_limit_and_what_makes_no_sense_is_refused() {
    let mut client = Client::new(1);
    let mut rig = rig(&[]);
    uapi(rig.folder.path(), &add(&client));
    rig.connect(&mut client, 0);
    // It outlives the rig.
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (file(&rig, "limit.pcapng"), folder.path().join("other.pcapng"));
    assert_eq!(json(&rig, "show capture")["capture"]["state"], "none");
    assert!(refusal(&rig, "capture stop").contains("no capture runs"));
    let start = |words: &str| format!("capture start {} {words}", path.display()).trim().to_owned();
    for (words, why) in [
        ("port nowhere", "there is no port \"nowhere\""),
        ("peer 10.200.0.1", "no peer's allowed ips hold 10.200.0.1"),
        ("port wan peer 10.1.0.1", "not both"),
        ("drops port wan", "capture all drops"),
        ("inner port wan", "belong to a tunnel"),
        ("outer port lan", "port lan carries no outer packets"),
        ("limit 0", "1 or more"),
    ] {
        let said = refusal(&rig, &start(words));
        assert!(said.contains(why), "{words}: {said}");
        assert!(!path.exists(), "{words}: nothing is left behind");
    }
    text(&rig, &start("port lan limit 50"));
    assert!(refusal(&rig, &format!("capture start {}", other.display())).contains("a capture runs already"));
    assert!(!other.exists());
    assert!(refusal(&rig, &start("")).contains("File exists"), "what is there stays as it is");
    let link = file(&rig, "link.pcapng");
    std::os::unix::fs::symlink("elsewhere", &link).unwrap();
    assert!(refusal(&rig, &format!("capture start {}", link.display())).contains("File exists"), "no link is followed");
    assert!(!file(&rig, "elsewhere").exists());
    both_ways(&mut rig, &mut client);
    let shown = loop {
        let shown = json(&rig, "show capture");
        if shown["capture"]["state"] != "running" {
            break shown;
        }
        std::thread::yield_now();
    };
    assert_eq!((&shown["capture"]["state"], &shown["capture"]["packets"]), (&"done".into(), &50.into()), "{shown}");
    let packets = read(&path);
    assert!(packets.len() == 50 && packets.iter().all(|packet| packet.interface == "lan"));

    // Who hands no file over has none written.
    let mut stream = UnixStream::connect(rig.folder.path().join("culvert.sock")).unwrap();
    stream.write_all(b"{\"do\":\"capture-start\",\"file\":\"/etc/passwd\"}\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("SCM_RIGHTS"), "{answer}");
    // It is running when the gateway ends.
    text(&rig, &format!("capture start {}", other.display()));
    both_ways(&mut rig, &mut client);
    rig.finish();
    assert!(read(&other).len() >= 4 * N as usize, "the file is whole");
}

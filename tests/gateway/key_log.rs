//! The key log: with what it says, a session is read that nobody gave away; without it, nothing is written.

use crate::client::Client;
use crate::harness::{Gateway, peer, server_identity};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use culvert::control::change::{PeerChange, SecretKey};
use culvert::control::key_log::KeyLog;
use culvert::noise::Identity;

const PSK: [u8; 32] = [0x77; 32];

/// Names and keys, line by line.
fn lines(text: &str) -> Vec<(&str, [u8; 32])> {
    let parts = text.lines().map(|line| line.split_once(" = ").unwrap());
    parts.map(|(name, key)| (name, STANDARD.decode(key).unwrap().try_into().unwrap())).collect()
}

/// The gateway answers, then asks: one session of lines each, whose ephemeral key is that of the message on the wire.
#[test]
fn sessions_of_both_roles_are_logged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let mut gateway = Gateway::new();
    gateway.context.key_log.set(KeyLog::open(&path).unwrap()).unwrap();
    let mut client = Client::new(1);
    client.psk = PSK;
    gateway.change_peer(PeerChange { preshared_key: Some(SecretKey::new(&PSK)), ..peer(&client) });

    gateway.wan(&{
        let initiation = client.initiation();
        client.frame(&initiation)
    });
    gateway.settle();
    let response = gateway.datagrams().remove(0).payload;
    assert!(client.take_response(&response));
    let answered = std::fs::read_to_string(&path).unwrap();
    let keepalive = client.data(&[]);
    gateway.wan(&keepalive);
    gateway.settle();

    // After its end the session is renewed by us.
    gateway.leap_ms(200_000);
    gateway.lan(&crate::packets::tagged(crate::harness::HOST, &client.inner(), 1, 64));
    gateway.settle();
    let initiation = gateway.datagrams().into_iter().find(|datagram| datagram.kind() == 1).unwrap().payload;
    let all = std::fs::read_to_string(&path).unwrap();
    let asked = all.strip_prefix(&answered).unwrap();

    for (text, ephemeral) in [(answered.as_str(), &response[12..44]), (asked, &initiation[8..40])] {
        let lines = lines(text);
        let names: Vec<&str> = lines.iter().map(|line| line.0).collect();
        let expected =
            ["LOCAL_STATIC_PRIVATE_KEY", "REMOTE_STATIC_PUBLIC_KEY", "LOCAL_EPHEMERAL_PRIVATE_KEY", "PRESHARED_KEY"];
        assert_eq!(names, expected);
        let public = |key: &[u8; 32]| *Identity::new(key).public_key();
        assert_eq!(public(&lines[0].1), *server_identity().public_key());
        assert_eq!(lines[1].1, client.key());
        assert_eq!(public(&lines[2].1), ephemeral);
        assert_eq!(lines[3].1, PSK);
    }
    gateway.finish();
}

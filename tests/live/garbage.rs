//! Datagrams that are no WireGuard, to the port that listens, while a client goes on.

use crate::bench::{bench, counted, pings};
use culvert::cli::lab::{GATEWAY_V4, GATEWAY_V6, HOST_V4, LISTEN_PORT, Namespace};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Sends them at a pace that no buffer of the kernel's on the way overflows at.
fn send(from: &Namespace, to: &str, datagrams: impl Iterator<Item = Vec<u8>>) -> u64 {
    let to: SocketAddr = (to.parse::<IpAddr>().unwrap(), LISTEN_PORT).into();
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = from.enter(|| UdpSocket::bind(any)).unwrap();
    datagrams
        .map(|datagram| {
            socket.send_to(&datagram, to).unwrap();
            std::thread::sleep(Duration::from_micros(500));
        })
        .count() as u64
}

#[test]
fn garbage_of_all_lengths_disturbs_nobody() {
    let bench = bench(1);
    let client = bench.client(1);
    pings(client.namespace(), HOST_V4);
    let sent = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let of_kind = |kind: u8, reserved: u8, most: usize| {
                (0..=most).map(move |len| {
                    let mut datagram = vec![0xa5; len];
                    datagram.iter_mut().zip([kind, reserved, 0, 0]).for_each(|(byte, head)| *byte = head);
                    datagram
                })
            };
            // No type that exists, or reserved bytes that are not zero: bad whatever the length.
            send(bench.lab.net(), GATEWAY_V4, of_kind(0, 0, 1472))
                + send(bench.lab.net(), GATEWAY_V6, of_kind(5, 0, 1452))
                + send(bench.lab.net(), GATEWAY_V4, of_kind(4, 1, 1472))
        });
        counted(client.namespace(), HOST_V4, 60, &[]).all().unwrap();
        flood.join().unwrap()
    });
    let account = bench.finish();
    assert_eq!(account.drop_of("bad_message"), sent, "{account}");
}

#[test]
fn handshakes_and_data_of_nobody_disturb_nobody() {
    let bench = bench(1);
    let client = bench.client(1);
    pings(client.namespace(), HOST_V4);
    let message = |kind: u8, len: usize| {
        let mut datagram = vec![0xff; len];
        datagram.iter_mut().zip([kind, 0, 0, 0]).for_each(|(byte, head)| *byte = head);
        datagram
    };
    let net = bench.lab.net();
    // Initiation, response and cookie reply of the right length; data from too short to as long as fits.
    let handshakes = send(net, GATEWAY_V4, (0..30).map(|_| message(1, 148)))
        + send(net, GATEWAY_V6, (0..30).map(|_| message(2, 92)));
    let cookies = send(net, GATEWAY_V4, (0..30).map(|_| message(3, 64)));
    let short = send(net, GATEWAY_V4, (4..32).map(|len| message(4, len)));
    let data = send(net, GATEWAY_V6, (32..=1452).step_by(4).map(|len| message(4, len)));
    let wrong_length =
        send(net, GATEWAY_V4, [(1, 147), (1, 149), (2, 91), (3, 65)].map(|(k, l)| message(k, l)).into_iter());
    let oversized = send(net, GATEWAY_V4, [message(1, 1472), message(2, 1472)].into_iter());
    counted(client.namespace(), HOST_V4, 20, &[]).all().unwrap();
    let account = bench.finish();
    assert_eq!(account.drop_of("unknown_index"), data, "{account}");
    assert_eq!(account.drop_of("bad_message"), short + wrong_length + oversized, "{account}");
    assert_eq!(account.drop_of("bad_mac1"), handshakes, "{account}");
    assert!(account.to_control >= handshakes + cookies, "{account}");
}

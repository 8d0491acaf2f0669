//! Others' WireGuard against culvertd: each with culvertd as responder and as initiator, over IPv4 and IPv6, with and
//! without a preshared key. All are clients of one gateway. Lines that begin with `|` are shown by `tests/run.sh`.

use crate::bench::{Bench, start, witness};
use crate::tools;
use culvert::cli::lab::{
    Client, ClientOptions, HOST_V4, HOST_V6, Implementation, Lab, LabError, Namespace, Options, Peer, Result, ensure,
    ping, tcp_both_ways, uapi, uapi_peers,
};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// TCP, each way.
const BYTES: usize = 3 << 20;
/// Longer than REKEY_AFTER_TIME (120 s), by what a packet that shows it may need.
const BEYOND_REKEY: Duration = Duration::from_secs(140);

#[test]
fn every_implementation_role_family_and_preshared_key() {
    let lab = Lab::with(&clients()).unwrap();
    let peers: Vec<Peer> = lab.clients().iter().map(as_the_gateway_sees_it).collect();
    let bench = start(lab, &Options::default(), &peers);
    let clients = bench.lab.clients();
    let mut results: Vec<_> = clients.iter().map(|client| timed(|| row(&bench, client))).collect();
    // Whoever runs the long tests sees the timers do it, too.
    let long = std::env::var_os("CULVERT_LONG").is_some();
    if long {
        for (result, later) in results.iter_mut().zip(beyond_the_rekey(&bench)) {
            result.0 = result.0.clone().and(later);
        }
    }
    println!("| {:<16} {:<10} {:<6} {:<4} ", "implementation", "culvertd", "outer", "PSK");
    for (client, (result, seconds)) in clients.iter().zip(&results) {
        let said = result.as_ref().map_or_else(|error| format!("FAILED: {error}"), |()| format!("ok  {seconds:4.1} s"));
        println!("| {} → {said}", called(client.options()));
    }
    let good = results.iter().filter(|(result, _)| result.is_ok()).count();
    let rekey = if long { "by key and by timer" } else { "by key" };
    println!("| matrix: {good} of {} ok, rekeyed {rekey}", results.len());
    let all = results.len();
    bench.finish();
    assert_eq!(good, all);
}

/// The columns of the table.
fn called(options: &ClientOptions) -> String {
    let role = if options.knows_endpoint { "responder" } else { "initiator" };
    let outer = if options.outer_v6 { "IPv6" } else { "IPv4" };
    let preshared = if options.preshared { "yes" } else { "no" };
    format!("{:<16} {role:<10} {outer:<6} {preshared:<4}", options.implementation.name)
}

fn clients() -> Vec<ClientOptions> {
    let mut implementations = vec![Implementation::wireguard_go()];
    for (name, found) in [("boringtun-cli", tools::boringtun()), ("gotatun-cli", tools::gotatun())] {
        match found {
            Some(implementation) => implementations.push(implementation),
            None => tools::skipped(name),
        }
    }
    let mut all = Vec::new();
    // culvertd as responder first: when it rekeys as initiator, it does so with everybody.
    for knows_endpoint in [true, false] {
        for implementation in &implementations {
            for (outer_v6, preshared) in [(false, false), (false, true), (true, false), (true, true)] {
                let implementation = implementation.clone();
                all.push(ClientOptions { implementation, outer_v6, preshared, knows_endpoint });
            }
        }
    }
    all
}

/// With its endpoint if the gateway has to speak first.
fn as_the_gateway_sees_it(client: &Client) -> Peer {
    let first = !client.options().knows_endpoint;
    Peer { endpoint: first.then(|| client.endpoint().unwrap()), ..client.peer() }
}

fn timed(f: impl FnOnce() -> Result<()>) -> (Result<()>, f64) {
    let start = Instant::now();
    let result = f();
    (result, start.elapsed().as_secs_f64())
}

/// Who begins: a namespace, and the other side's addresses seen from there.
struct Side<'a> {
    namespace: &'a Namespace,
    to: [String; 2],
}

/// The side of culvertd's peer that makes the session, and the other one.
fn sides<'a>(bench: &'a Bench, client: &'a Client) -> [Side<'a>; 2] {
    let near = Side { namespace: client.namespace(), to: [HOST_V4.into(), HOST_V6.into()] };
    let far = Side { namespace: bench.lab.host(), to: [client.v4(), client.v6()] };
    if client.options().knows_endpoint { [near, far] } else { [far, near] }
}

/// Pings inside over both families, TCP both ways with a rekey in the middle, and the same again.
fn row(bench: &Bench, client: &Client) -> Result<()> {
    let [first, second] = sides(bench, client);
    ensure(handshake_of(bench, client)?.is_zero(), "before the first packet", "there was a handshake")?;
    for side in [&first, &second] {
        side.to.iter().try_for_each(|to| pings(side.namespace, to))?;
    }
    let before = handshake_of(bench, client)?;
    let mut rekeyed = Ok(());
    let to = at(&first.to[0], 7100);
    tcp_both_ways(first.namespace, second.namespace, to, BYTES, || rekeyed = forget(bench, client))?;
    rekeyed?;
    let after = handshake_of(bench, client)?;
    ensure(after > before, "rekey", format!("no new handshake: {before:?}, {after:?}"))?;
    let to = at(&second.to[1], 7101);
    tcp_both_ways(second.namespace, first.namespace, to, BYTES, || ())?;
    for side in [&second, &first] {
        side.to.iter().try_for_each(|to| pings(side.namespace, to))?;
    }
    ensure(handshake_of(bench, client)? == after, "after the rekey", "there was another one, for nothing")
}

/// The side that makes the session forgets it.
fn forget(bench: &Bench, client: &Client) -> Result<()> {
    if client.options().knows_endpoint {
        client.forget_session(&client.gateway_peer(&bench.lab))
    } else {
        bench.gateway.forget_sessions(&bench.lab)
    }
}

fn at(address: &str, port: u16) -> SocketAddr {
    (address.parse::<IpAddr>().unwrap(), port).into()
}

fn pings(from: &Namespace, to: &str) -> Result<()> {
    let counted = ping(from, to, 3, Duration::from_millis(20), &[])?;
    // What the gateway counted so far tells whether the loss was its own.
    counted.all().map_err(|error| LabError::new(format!("{} → {to}", from.name()), format!("{error}; {}", witness())))
}

/// When the gateway had its last handshake with a client, since 1970; zero if never.
fn handshake_of(bench: &Bench, client: &Client) -> Result<Duration> {
    let peers = uapi_peers(&uapi(bench.gateway.interface(), "get=1\n\n")?);
    let key = client.keys().public_hex();
    let peer = peers.get(&key).ok_or_else(|| LabError::new("culvertd", "it does not know the client"))?;
    let number = |key: &str| peer.get(key).and_then(|value| value.parse().ok()).unwrap_or(0);
    let nanos = u32::try_from(number("last_handshake_time_nsec")).unwrap_or(0);
    Ok(Duration::new(number("last_handshake_time_sec"), nanos))
}

/// All at once: fresh sessions, made by the right side, used until the timers have made new ones. No ping is lost.
fn beyond_the_rekey(bench: &Bench) -> Vec<Result<()>> {
    let clients = bench.lab.clients();
    // The gateway first: it forgets all sessions at once.
    let (led, leading): (Vec<_>, Vec<_>) = clients.iter().partition(|client| client.options().knows_endpoint);
    let fresh: Result<()> = bench.gateway.forget_sessions(&bench.lab).and_then(|()| {
        leading.iter().try_for_each(|client| pings(bench.lab.host(), &client.v4()))?;
        led.iter().try_for_each(|client| forget(bench, client).and_then(|()| pings(client.namespace(), HOST_V4)))
    });
    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    std::thread::scope(|scope| {
        let running: Vec<_> =
            clients.iter().map(|client| scope.spawn(move || used_for_long(bench, client, began))).collect();
        let ended = running.into_iter().map(|row| row.join().unwrap());
        ended.map(|row| fresh.clone().and(row)).collect()
    })
}

fn used_for_long(bench: &Bench, client: &Client, began: Duration) -> Result<()> {
    let every = Duration::from_millis(500);
    let count = u32::try_from(BEYOND_REKEY.as_millis() / every.as_millis()).unwrap_or(0);
    let lasting = |side: Side<'_>, to: usize| ping(side.namespace, &side.to[to], count, every, &[])?.all();
    let [first, second] = sides(bench, client);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| lasting(second, 1));
        let (one, other) = (lasting(first, 0), other.join().unwrap());
        one.and(other)
    })?;
    let rekeyed = handshake_of(bench, client)?.saturating_sub(began);
    ensure(rekeyed > Duration::from_secs(100), "rekey by the timer", format!("last handshake after {rekeyed:?}"))
}

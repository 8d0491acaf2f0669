//! One gateway and one client, either of which began.

use crate::client::Client;
use crate::harness::{Gateway, HOST, peer};
use crate::packets::tagged;
use culvert::control::change::PeerChange;

/// The client began; the session is confirmed, the wires are empty.
pub(crate) fn responder() -> (Gateway, Client) {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.add(&client);
    gw.connect(&mut client);
    gw.frames();
    (gw, client)
}

/// The gateway began, for a packet that the client has got; the wires are empty.
pub(crate) fn initiator() -> (Gateway, Client) {
    let mut gw = Gateway::new();
    let mut client = Client::new(1);
    gw.change_peer(PeerChange { endpoint: Some(client.at), ..peer(&client) });
    gw.lan(&tagged(HOST, &client.inner(), 0, 96));
    gw.settle();
    answer(&mut gw, &mut client);
    assert_eq!(gw.received_by(&client).len(), 1);
    // Nothing is unanswered.
    keepalive(&mut gw, &mut client);
    (gw, client)
}

/// The client answers the one initiation that went out; the session is made.
pub(crate) fn answer(gw: &mut Gateway, client: &mut Client) {
    let sent = gw.datagrams();
    assert_eq!(sent.iter().map(|d| d.kind()).collect::<Vec<_>>(), [1]);
    let response = client.respond(&sent[0].payload).unwrap();
    gw.wan(&client.frame(&response));
    gw.settle();
}

/// The client sends one.
pub(crate) fn keepalive(gw: &mut Gateway, client: &mut Client) {
    let frame = client.data(&[]);
    gw.wan(&frame);
    gw.settle();
}

/// The inner host sends a packet to the client.
pub(crate) fn send(gw: &mut Gateway, client: &Client, tag: u32) {
    gw.lan(&tagged(HOST, &client.inner(), tag, 96));
    gw.settle();
}

/// How many packets of this session (the number-th of the client's) are delivered of one that is sent now.
pub(crate) fn delivered_under(gw: &mut Gateway, client: &mut Client, number: usize) -> usize {
    let inner = tagged(&client.inner(), HOST, 7, 96);
    let session = &mut client.sessions[number];
    session.next += 1;
    let message = session.seal(session.next - 1, &inner);
    gw.wan(&client.frame(&message));
    gw.settle();
    gw.delivered().len()
}

/// The types of what went out.
pub(crate) fn kinds(gw: &mut Gateway) -> Vec<u8> {
    gw.datagrams().iter().map(|d| d.kind()).collect()
}

/// The receiver indexes of the data that went out.
pub(crate) fn receivers(gw: &mut Gateway) -> Vec<u32> {
    let data = gw.datagrams().into_iter().filter(|d| d.kind() == 4);
    data.map(|d| u32::from_le_bytes(*d.payload[4..].first_chunk().unwrap())).collect()
}

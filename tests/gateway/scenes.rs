//! Where most tests begin.

use crate::client::Client;
use crate::harness::{Gateway, HOST, Options, peer};
use crate::packets::{Datagram, tagged};
use culvert::control::change::PeerChange;

/// A gateway and its one client, between whom there is a session; what went out for that is taken off the wires.
pub(crate) fn connected(options: &Options) -> (Gateway, Client) {
    connected_as(options, Client::new(1))
}

/// The same with this client.
pub(crate) fn connected_as(options: &Options, client: Client) -> (Gateway, Client) {
    let (gw, mut clients) = connect_all(options, vec![client]);
    (gw, clients.remove(0))
}

/// The same with clients 1 to `clients`.
pub(crate) fn all_connected(options: &Options, clients: u8) -> (Gateway, Vec<Client>) {
    connect_all(options, (1..=clients).map(Client::new).collect())
}

fn connect_all(options: &Options, mut clients: Vec<Client>) -> (Gateway, Vec<Client>) {
    let mut gw = Gateway::with(options);
    for client in &mut clients {
        gw.add(client);
        gw.connect(client);
    }
    gw.frames();
    (gw, clients)
}

/// A gateway that knows where client `number` is, and had a packet of this tag for it: with its initiation, which waits for an answer.
pub(crate) fn asking(number: u8, tag: u32) -> (Gateway, Client, Datagram) {
    let mut gw = Gateway::new();
    let client = Client::new(number);
    gw.change_peer(PeerChange { endpoint: Some(client.at), ..peer(&client) });
    gw.lan(&tagged(HOST, &client.inner(), tag, 96));
    gw.settle();
    let initiation = gw.datagrams().remove(0);
    (gw, client, initiation)
}

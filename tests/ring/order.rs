//! Order within a peer, when cores run at once and nobody paces.

use crate::client::{Client, counter};
use crate::far::Seen;
use crate::packets::tagged;
use crate::rig::{HOST, Options, Rig, Source, cores, lan_frame};
use std::collections::HashSet;

/// Bytes of headers before the inner packet of a frame of the lan port, and before the message of one of the wan port.
const LAN_HEADERS: usize = 14;
const WAN_HEADERS: usize = 14 + 20 + 8;
/// Inner bytes.
const SIZE: usize = 96;

/// Whether numbers that were put into several rings in order were so, as the one reader of all rings can tell: when a ring
/// is seen empty, all that was put in before what came out of the other rings by then has come out of this one.
pub struct Order {
    next: Vec<u64>,
    floor: Vec<u64>,
    seen: HashSet<u64>,
    pub count: u64,
}

impl Order {
    pub fn new(queues: usize) -> Self {
        Self { next: vec![0; queues], floor: vec![0; queues], seen: HashSet::new(), count: 0 }
    }

    pub fn saw(&mut self, queue: usize, number: u64) {
        assert!(number >= self.next[queue], "queue {queue}: {number} where {} or more is due", self.next[queue]);
        assert!(number >= self.floor[queue], "queue {queue}: {number} after {} went", self.floor[queue] - 1);
        assert!(self.seen.insert(number), "{number} came twice");
        self.next[queue] = number + 1;
        self.count += 1;
    }

    pub fn empty(&mut self, queue: usize) {
        let others = self.next.iter().enumerate().filter(|(other, _)| *other != queue);
        self.floor[queue] = others.map(|(_, next)| *next).max().unwrap_or(0).max(self.floor[queue]);
    }
}

#[test]
#[should_panic(expected = "queue 0: 4 after 5 went")]
fn the_check_itself_finds_what_came_too_late() {
    let mut order = Order::new(2);
    order.saw(0, 3);
    order.saw(1, 5);
    order.empty(0);
    order.saw(0, 4);
}

/// A peer's traffic both ways, and what became of it.
struct Flow {
    client: Client,
    ingress: Order,
    nonces: Order,
    egress: Order,
    /// Delivered inside by each TX queue.
    by_queue: Vec<u64>,
}

/// Peers with sessions.
fn connect(rig: &mut Rig, peers: u8) -> Vec<Flow> {
    let queues = rig.wan.queues();
    let flow = |number| {
        let mut client = Client::new(number);
        rig.add(&client);
        rig.connect(&mut client, usize::from(number) % queues);
        Flow {
            client,
            ingress: Order::new(queues),
            nonces: Order::new(queues),
            egress: Order::new(queues),
            by_queue: vec![0; queues],
        }
    };
    (1..=peers).map(flow).collect()
}

impl Flow {
    fn queue(&self) -> usize {
        usize::from(self.client.number) % self.by_queue.len()
    }

    /// Something came out by a TX queue of the gateway.
    fn see(flows: &mut [Self], outer: bool, queue: usize, seen: &Seen<'_>) {
        match (outer, seen) {
            (true, Seen::Empty) => flows.iter_mut().for_each(|flow| {
                flow.nonces.empty(queue);
                flow.egress.empty(queue);
            }),
            (false, Seen::Empty) => flows.iter_mut().for_each(|flow| flow.ingress.empty(queue)),
            (true, Seen::Frame(frame)) => {
                // By the last byte of the destination's address.
                let Some(flow) = flows.iter_mut().find(|flow| flow.client.number == frame[33]) else { return };
                let message = &frame[WAN_HEADERS..];
                assert_eq!(message[0], 4, "data");
                flow.nonces.saw(queue, counter(message));
                let plain = flow.client.open(message).expect("a message that opens");
                if !plain.is_empty() {
                    flow.egress.saw(queue, number(&plain));
                }
            }
            (false, Seen::Frame(frame)) => {
                let packet = &frame[LAN_HEADERS..];
                let Some(flow) = flows.iter_mut().find(|flow| flow.client.number == packet[15]) else { return };
                flow.ingress.saw(queue, number(packet));
                flow.by_queue[queue] += 1;
            }
        }
    }
}

fn number(packet: &[u8]) -> u64 {
    u64::from(crate::packets::tag(packet))
}

/// Blasts so many packets a peer, in (sealed by the client) and out, and checks what came out.
fn blast(rig: &mut Rig, flows: &mut [Flow], packets: usize, ways: &[bool]) {
    // Sealed before: the driver is not to be the slowest.
    let mut sources = Vec::new();
    for flow in flows.iter_mut() {
        let (queue, inner) = (flow.queue(), flow.client.inner());
        if ways.contains(&true) {
            let seal = |tag| flow.client.data(&tagged(&inner, HOST, tag as u32, SIZE));
            sources.push(Source::outer(queue, (0..packets).map(seal).collect::<Vec<_>>()));
        }
        if ways.contains(&false) {
            let frame = move |tag| lan_frame(&tagged(HOST, &inner, tag as u32, SIZE));
            sources.push(Source::inner(queue, (0..packets).map(frame)));
        }
    }
    rig.blast(sources, |outer, queue, seen| Flow::see(flows, outer, queue, &seen));
    let sent = (flows.len() * packets * ways.len()) as u64;
    let arrived: u64 = flows.iter().map(|flow| flow.ingress.count + flow.egress.count).sum();
    let lost = ["queue_full", "tx_full", "foreign_mbuf"].map(|reason| rig.dropped(reason));
    // Among what was lost may be some of the gateway's own packets.
    let account = rig.account();
    let all = arrived + lost.iter().sum::<u64>();
    assert!((sent..=sent + account.generated).contains(&all), "{sent} sent, {arrived} arrived, {account:?}");
    assert_eq!([rig.dropped("replay"), rig.dropped("auth_failed")], [0, 0]);
    // Whatever is lost, much passes.
    for flow in flows.iter() {
        for (way, order) in [(true, &flow.ingress), (false, &flow.egress)] {
            assert!(!ways.contains(&way) || order.count > 1000, "{}", order.count);
        }
    }
}

#[test]
fn order_kept_unpaced_two_queues_two_workers() {
    let mut rig = Rig::new(&Options::default());
    let mut flows = connect(&mut rig, 5);
    blast(&mut rig, &mut flows, 20_000, &[true, false]);
    rig.finish();
}

#[test]
fn order_kept_of_one_peer_in() {
    let mut rig = Rig::new(&Options::default());
    let mut flows = connect(&mut rig, 1);
    blast(&mut rig, &mut flows, 100_000, &[true]);
    rig.finish();
}

#[test]
fn order_kept_of_one_peer_out() {
    let mut rig = Rig::new(&Options::default());
    let mut flows = connect(&mut rig, 1);
    blast(&mut rig, &mut flows, 100_000, &[false]);
    rig.finish();
}

#[test]
fn order_kept_where_cores_share_a_tx_queue() {
    let mut rig = Rig::new(&Options { queues: 1, ..Options::default() });
    let mut flows = connect(&mut rig, 2);
    blast(&mut rig, &mut flows, 50_000, &[true, false]);
    rig.finish();
}

#[test]
fn one_peer_uses_both_workers() {
    let mut rig = Rig::new(&Options::default());
    let mut flows = connect(&mut rig, 1);
    blast(&mut rig, &mut flows, 50_000, &[true]);
    // Each core sends what it released by its own TX queue, so a queue's frames are its core's releases.
    let [first, second] = cores();
    if first != second {
        assert!(flows[0].by_queue.iter().all(|packets| *packets > 0), "{:?}", flows[0].by_queue);
    }
    rig.finish();
}

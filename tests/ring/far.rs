//! The far ends of one port: bursts in, bursts out, and answers to ARP.

use culvert::dpdk::{Eal, FarEnd, Mbuf, MemoryWire, Pool};
use culvert::frame::{BURST, Burst, Frame, Packet, PacketPool, RxBurst, TxBurst};
use culvert::wire::MacAddr;

/// Bursts that one drain takes from one queue, at most: more than a ring holds, so that an end is seen.
const BURSTS: usize = 256;

/// What a drain of one TX queue of the gateway meets.
pub enum Seen<'a> {
    /// A frame, but none of ARP.
    Frame(&'a [u8]),
    /// Nothing more was in the queue at that moment.
    Empty,
}

/// All that is behind one port of the gateway.
pub struct Far {
    pub wire: MemoryWire,
    ends: Vec<FarEnd>,
    /// What a full ring refused, a queue.
    backlog: Vec<Burst<Mbuf>>,
    /// Who answers to every ARP request.
    mac: MacAddr,
    pool: Pool,
    /// The VLAN of the port; 0: none.
    pub vlan: u16,
    /// Frames that the gateway's RX rings took.
    pub injected: u64,
    /// Frames that came out of its TX rings.
    pub collected: u64,
}

impl Far {
    pub fn new(eal: &Eal, pool: &Pool, name: &str, queues: u16, ring: u32, mac: MacAddr) -> Self {
        let (wire, ends) = MemoryWire::create(eal, name, queues, ring).unwrap();
        let backlog = ends.iter().map(|_| Burst::new()).collect();
        Self { wire, ends, backlog, mac, pool: pool.clone(), vlan: 0, injected: 0, collected: 0 }
    }

    /// Fills a burst from `frames` and puts as much of it into the queue's ring as goes. Returns whether all is in.
    pub fn offer(&mut self, queue: usize, frames: &mut dyn Iterator<Item = Vec<u8>>) -> bool {
        let mut ended = false;
        while !ended && self.backlog[queue].len() < BURST {
            // The frame is made only when there is a place for it.
            let Some(mut mbuf) = self.pool.alloc() else { break };
            match frames.next() {
                Some(frame) => {
                    mbuf.append(frame.len()).unwrap().copy_from_slice(&frame);
                    self.backlog[queue].push(mbuf);
                }
                None => ended = true,
            }
        }
        self.push(queue);
        ended && self.backlog[queue].is_empty()
    }

    /// Puts one packet in as it is.
    pub fn inject(&mut self, queue: usize, mbuf: Mbuf) {
        while self.backlog[queue].is_full() {
            self.push(queue);
            std::thread::yield_now();
        }
        self.backlog[queue].push(mbuf);
        self.push(queue);
    }

    /// Takes one burst out as it is.
    pub fn take(&mut self, queue: usize) -> Burst<Mbuf> {
        let mut burst = Burst::new();
        self.collected += self.ends[queue].rx.rx_burst(&mut burst) as u64;
        burst
    }

    fn push(&mut self, queue: usize) {
        self.injected += self.ends[queue].tx.tx_burst(&mut self.backlog[queue]) as u64;
    }

    /// Takes everything out, queue by queue; ARP requests are answered.
    pub fn drain(&mut self, mut see: impl FnMut(usize, Seen<'_>)) {
        for queue in 0..self.ends.len() {
            for _ in 0..BURSTS {
                let mut burst = Burst::new();
                let came = self.ends[queue].rx.rx_burst(&mut burst);
                self.collected += came as u64;
                for mbuf in &burst {
                    let frame = mbuf.data();
                    let tag = self.vlan.to_be_bytes();
                    let is_tagged = self.vlan != 0 && frame.get(12..16) == Some(&[0x81, 0, tag[0], tag[1]]);
                    let untagged = if is_tagged { &[&frame[..12], &frame[16..]].concat() } else { frame };
                    if untagged.get(12..14) != Some(&[8, 6]) {
                        see(queue, Seen::Frame(frame));
                    } else if let Some(reply) = arp_reply(untagged, self.mac) {
                        let tag = if is_tagged { &frame[12..16] } else { &[] };
                        self.answer(queue, &[&reply[..12], tag, &reply[12..]].concat());
                    }
                }
                Mbuf::free_burst(&mut burst);
                if came < BURST {
                    see(queue, Seen::Empty);
                    break;
                }
            }
            self.push(queue);
        }
    }

    fn answer(&mut self, queue: usize, reply: &[u8]) {
        let Some(mut mbuf) = self.pool.alloc() else { return };
        mbuf.append(reply.len()).unwrap().copy_from_slice(reply);
        // A burst that is full stays full: the gateway asks again.
        let _lost = self.backlog[queue].try_push(mbuf);
        self.push(queue);
    }

    /// Whether nothing is under way on this side.
    pub fn is_still(&self) -> bool {
        self.wire.in_flight() == 0 && self.backlog.iter().all(Burst::is_empty)
    }

    pub fn queues(&self) -> usize {
        self.ends.len()
    }
}

/// The answer to an ARP frame (RFC 826), if it asks for somebody else than its sender.
fn arp_reply(frame: &[u8], mac: MacAddr) -> Option<Vec<u8>> {
    let arp = frame.get(14..42)?;
    let (sender, asked) = (&arp[14..18], &arp[24..28]);
    if arp[6..8] != [0, 1] || sender == asked || sender == [0; 4] {
        return None;
    }
    let asker = &arp[8..14];
    Some([&frame[6..12], &mac.0, &[8, 6], &arp[..6], &[0, 2], &mac.0, asked, asker, sender].concat())
}

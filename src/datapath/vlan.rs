//! vlan: a port's 802.1Q tag, taken off where frames come in and put in where they go out, so that all inside sees untagged ones.

use super::{Counters, DropReason};
use crate::frame::{Burst, Meta, Packet};
use crate::wire::{EtherType, EthernetFrame, ethernet};

/// What stands before a tag.
const MACS: usize = 12;

/// Keeps what belongs to `vlan` (0: what belongs to none), without its tag; all else is dropped by name. The packets are plain.
pub(super) fn take_off<P: Packet>(burst: &mut Burst<P>, vlan: u16, counters: &Counters) {
    let mut kept: Burst<P> = Burst::new();
    for mut packet in burst.drain(..) {
        if untag(&mut packet) == vlan {
            kept.push(packet);
        } else {
            counters.drop_packet(DropReason::Vlan, packet);
        }
    }
    *burst = kept;
}

/// Takes off the frame's outermost tag; which VLAN it named. 0: there was none, or one for priority only, which is no VLAN's
/// (IEEE 802.1Q, 9.6).
pub(super) fn untag<P: Packet>(packet: &mut P) -> u16 {
    let stripped = packet.meta_mut().take_vlan();
    if stripped != 0 {
        return stripped & !Meta::VLAN_STRIPPED;
    }
    let vlan = match EthernetFrame::new_checked(packet.data()) {
        Ok(frame) if frame.header_len() == ethernet::TAGGED_HEADER_LEN => frame.vlan_id(),
        _ => return 0,
    };
    packet.data_mut().copy_within(..MACS, ethernet::VLAN_TAG_LEN);
    match packet.trim_front(ethernet::VLAN_TAG_LEN) {
        Some(()) => vlan,
        None => 0,
    }
}

/// Puts the tag of `vlan`, of priority 0, into every frame; what has no room for it is dropped by name.
pub(super) fn put_in<P: Packet>(burst: &mut Burst<P>, vlan: u16, counters: &Counters) {
    let mut tagged: Burst<P> = Burst::new();
    for mut packet in burst.drain(..) {
        match tag(&mut packet, vlan) {
            Some(()) => tagged.push(packet),
            None => counters.drop_packet(DropReason::NoRoom, packet),
        }
    }
    *burst = tagged;
}

fn tag<P: Packet>(packet: &mut P, vlan: u16) -> Option<()> {
    packet.prepend(ethernet::VLAN_TAG_LEN)?;
    let header: &mut [u8; MACS + ethernet::VLAN_TAG_LEN] = packet.data_mut().first_chunk_mut()?;
    header.copy_within(ethernet::VLAN_TAG_LEN.., 0);
    let [.., t0, t1, v0, v1] = header;
    [*t0, *t1] = EtherType::VLAN.0.to_be_bytes();
    [*v0, *v1] = vlan.to_be_bytes();
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;
    use crate::frame::heap::{HeapPacket, HeapPool};
    use crate::queue::Boxed;

    const PLAIN: [u8; 18] = *b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0body";

    fn tagged(tci: [u8; 2]) -> Vec<u8> {
        [&PLAIN[..12], &[0x81, 0], &tci, &PLAIN[12..]].concat()
    }

    fn untagged(bytes: &[u8]) -> (u16, Vec<u8>) {
        let mut packet = HeapPacket::from_bytes(bytes);
        let vlan = untag(&mut packet);
        (vlan, packet.data().to_vec())
    }

    #[test]
    fn a_tag_is_taken_off_whatever_its_priority() {
        assert_eq!(untagged(&tagged([0, 7])), (7, PLAIN.to_vec()));
        assert_eq!(untagged(&tagged([0xf0, 7])), (7, PLAIN.to_vec()));
        assert_eq!(untagged(&tagged([0xe0, 0])), (0, PLAIN.to_vec()));
        assert_eq!(untagged(&PLAIN), (0, PLAIN.to_vec()));
    }

    #[test]
    fn what_is_cut_in_its_header_stays_as_it_is() {
        for len in 0..18 {
            let cut = &tagged([0, 7])[..len];
            assert_eq!(untagged(cut), (0, cut.to_vec()), "{len}");
        }
    }

    #[test]
    fn a_tag_that_the_driver_took_off_counts_once() {
        let mut packet = HeapPacket::from_bytes(&tagged([0, 9]));
        packet.meta_mut().nic = Meta::VLAN_STRIPPED | 7;
        assert_eq!(untag(&mut packet), 7);
        assert_eq!(untag(&mut packet), 9, "the inner one");
        packet.meta_mut().nic = Meta::VLAN_STRIPPED;
        assert_eq!((untag(&mut packet), packet.data()), (0, &PLAIN[..]));
    }

    #[test]
    fn what_was_put_in_comes_off() {
        let counters = Counters::new("test");
        let mut burst: Burst<HeapPacket> = [HeapPacket::from_bytes(&PLAIN)].into_iter().collect();
        put_in(&mut burst, 4094, &counters);
        assert_eq!(burst[0].data(), tagged([0x0f, 0xfe]));
        take_off(&mut burst, 4094, &counters);
        assert_eq!(burst[0].data(), PLAIN);
        assert_eq!(counters.dropped(DropReason::Vlan), 0);
        take_off(&mut burst, 4094, &counters);
        assert_eq!((burst.len(), counters.dropped(DropReason::Vlan)), (0, 1));
    }

    #[test]
    fn without_headroom_a_frame_is_dropped_by_name() {
        let counters = Counters::new("test");
        let without = |room| {
            let pool = HeapPool::with_room(1, room, 64);
            let packet: Boxed<_> = pool.alloc_with(&PLAIN).unwrap();
            let mut burst: Burst<HeapPacket> = [packet].into_iter().collect();
            put_in(&mut burst, 7, &counters);
            (burst.len(), counters.dropped(DropReason::NoRoom))
        };
        assert_eq!(without(3), (0, 1));
        assert_eq!(without(4), (1, 1));
    }
}

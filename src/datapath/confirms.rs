//! What becomes of a chunk's keepalives that were to confirm a session (PROTOCOL A5): they are not needed where anything else goes.

use super::{Counters, DropReason};
use crate::frame::{Kind, Packet};
use arrayvec::ArrayVec;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confirms {
    /// There are none.
    None,
    /// There are so many; one goes if it is `needed`.
    Some { confirms: usize, needed: bool },
}

impl Confirms {
    /// `confirmed`: something went under this session before. `goes`: whether a packet of the chunk can be sent.
    #[inline]
    pub(super) fn of<P: Packet>(packets: &[P], confirmed: bool, goes: impl Fn(&P) -> bool) -> Self {
        let confirms = packets.iter().filter(|p| is_confirm(*p)).count();
        if confirms == 0 {
            return Self::None;
        }
        let data_goes = || packets.iter().any(|p| !is_confirm(p) && goes(p));
        Self::Some { confirms, needed: !confirmed && !data_goes() }
    }

    /// How many packets are left.
    #[inline]
    pub(super) fn left_of<P: Packet>(self, packets: &[P]) -> usize {
        match self {
            Self::None => packets.len(),
            Self::Some { confirms, needed } => packets.len() - confirms + usize::from(needed),
        }
    }

    /// Drops those that are not needed.
    #[inline]
    pub(super) fn elide<P: Packet, const N: usize>(self, packets: &mut ArrayVec<P, N>, counters: &Counters) {
        let Self::Some { mut needed, .. } = self else { return };
        let before = packets.len();
        packets.retain(|p| !is_confirm(p) || std::mem::take(&mut needed));
        counters.count_drop(DropReason::KeepaliveElided, (before - packets.len()) as u64);
    }
}

fn is_confirm<P: Packet>(packet: &P) -> bool {
    packet.meta().kind == Kind::Confirm
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::heap::HeapPacket;

    #[test]
    fn one_goes_where_nothing_else_does() {
        let counters = Counters::new("core");
        let mut elided = 0;
        for (confirmed, data_goes, left) in [(false, false, 2), (false, true, 1), (true, false, 1), (true, true, 1)] {
            let mut packets = ArrayVec::<_, 4>::new();
            for kind in [Kind::Confirm, Kind::Data, Kind::Confirm] {
                let mut packet = HeapPacket::from_bytes(&[]);
                packet.meta_mut().kind = kind;
                packets.push(packet);
            }
            // Of a keepalive it is not asked.
            let confirms = Confirms::of(&packets, confirmed, |packet| packet.meta().kind != Kind::Data || data_goes);
            assert_eq!(confirms.left_of(&packets), left);
            confirms.elide(&mut packets, &counters);
            assert_eq!(packets.len(), left);
            elided += 3 - left as u64;
            assert_eq!(counters.dropped(DropReason::KeepaliveElided), elided);
        }
    }
}

//! What a route leads to, packed into the 32 bits that a table slot holds.

use super::adjacency::{AdjacencyIndex, INDEX_BITS};

/// Where packets to an address go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// The address is our own.
    Local {
        /// The port that it was given to; below 2^14.
        port: u16,
        /// Which of the port's addresses, in the order of the configuration.
        address_index: u16,
    },
    /// A neighbour: the host itself, or the gateway to it. See [`Adjacencies::header`](super::Adjacencies::header).
    Adjacency(AdjacencyIndex),
    /// The address lies in a port's subnet, and is not resolved: the control thread must ask for it.
    OnLink {
        /// Where to ask; below 2^14.
        port: u16,
    },
    /// Nowhere: refused by name (broadcast, multicast, loopback, link-local).
    Unreachable,
}

const TAG_SHIFT: u32 = 30;
const PORT_SHIFT: u32 = 16;
const PORT_MASK: u32 = (1 << (TAG_SHIFT - PORT_SHIFT)) - 1;
const UNREACHABLE: u32 = 0;
const LOCAL: u32 = 1;
const ADJACENCY: u32 = 2;
const ON_LINK: u32 = 3;

const _: () = assert!(INDEX_BITS == TAG_SHIFT);

impl NextHop {
    /// The 32 bits. A port of 2^14 or more is cut.
    pub fn pack(self) -> u32 {
        let port_bits = |port: u16| (u32::from(port) & PORT_MASK) << PORT_SHIFT;
        match self {
            Self::Unreachable => UNREACHABLE << TAG_SHIFT,
            Self::Local { port, address_index } => LOCAL << TAG_SHIFT | port_bits(port) | u32::from(address_index),
            Self::Adjacency(index) => ADJACENCY << TAG_SHIFT | index.to_raw(),
            Self::OnLink { port } => ON_LINK << TAG_SHIFT | port_bits(port),
        }
    }

    /// The next hop again; every number is one.
    #[inline]
    pub fn unpack(word: u32) -> Self {
        let low = |word: u32| u16::try_from(word & 0xffff).unwrap_or(0);
        let port = low(word >> PORT_SHIFT & PORT_MASK);
        match word >> TAG_SHIFT {
            LOCAL => Self::Local { port, address_index: low(word) },
            ADJACENCY => Self::Adjacency(AdjacencyIndex::from_raw(word)),
            ON_LINK => Self::OnLink { port },
            _ => Self::Unreachable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AdjacencyIndex, NextHop};
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

    fn next_hops() -> impl Strategy<Value = NextHop> {
        prop_oneof![
            (0_u16..1 << 14, any::<u16>()).prop_map(|(port, address_index)| NextHop::Local { port, address_index }),
            any::<u32>().prop_map(|raw| NextHop::Adjacency(AdjacencyIndex::from_raw(raw))),
            (0_u16..1 << 14).prop_map(|port| NextHop::OnLink { port }),
            Just(NextHop::Unreachable),
        ]
    }

    proptest! {
        #[test]
        fn packing_loses_nothing(hop in next_hops()) {
            assert_eq!(NextHop::unpack(hop.pack()), hop);
        }
    }
}

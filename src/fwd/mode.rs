//! The forwarding modes by name.

use super::csum::Csum;
use super::error::LabError;
use super::flowgen::FlowGen;
use super::icmpecho::IcmpEcho;
use super::io::Io;
use super::mac::{Mac, MacSwap};
use super::rxonly::RxOnly;
use super::stream::{Ends, Forward, Way};
use super::tunnel::Tunnels;
use super::txonly::TxOnly;
use super::wireguard::Wireguard;
use crate::queue::sync::Arc;

/// What is done with packets (`set fwd`, `--forward-mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Packets leave as they came.
    #[default]
    Io,
    /// The same, to the TX port's peer.
    Mac,
    /// The same, back to whom they came from.
    MacSwap,
    /// They end.
    RxOnly,
    /// They are made.
    TxOnly,
    /// They leave with right checksums.
    Csum,
    /// They are made, of many flows.
    FlowGen,
    /// ARP requests and pings are answered.
    IcmpEcho,
    /// They are made, sealed, and what comes back is opened and compared.
    Wireguard,
}

impl Mode {
    /// All.
    pub const ALL: [Self; 9] = [
        Self::Io,
        Self::Mac,
        Self::MacSwap,
        Self::RxOnly,
        Self::TxOnly,
        Self::Csum,
        Self::FlowGen,
        Self::IcmpEcho,
        Self::Wireguard,
    ];

    /// testpmd's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::Mac => "mac",
            Self::MacSwap => "macswap",
            Self::RxOnly => "rxonly",
            Self::TxOnly => "txonly",
            Self::Csum => "csum",
            Self::FlowGen => "flowgen",
            Self::IcmpEcho => "icmpecho",
            Self::Wireguard => "wireguard",
        }
    }

    /// The mode of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// Whether it makes packets, of `--txpkts` bytes.
    pub(super) fn makes_packets(self) -> bool {
        matches!(self, Self::TxOnly | Self::FlowGen | Self::Wireguard)
    }

    /// Whether cycles are told by packets sent, as testpmd does.
    pub(super) fn counts_by_sent(self) -> bool {
        matches!(self, Self::TxOnly | Self::FlowGen)
    }

    /// What a stream of it does: the stream of number `at`, whose packets have `len` bytes.
    ///
    /// # Errors
    /// It needs a tunnel, and has none.
    pub(super) fn forward<E: Ends>(
        self,
        at: usize,
        way: &Way,
        len: usize,
        tunnels: &Arc<Tunnels>,
    ) -> Result<Box<dyn Forward<E>>, LabError> {
        Ok(match self {
            Self::Io => Box::new(Io),
            Self::Mac => Box::new(Mac),
            Self::MacSwap => Box::new(MacSwap),
            Self::RxOnly => Box::new(RxOnly),
            Self::TxOnly => Box::new(TxOnly::new(way, len)),
            Self::Csum => Box::new(Csum),
            Self::FlowGen => Box::new(FlowGen::new(len)),
            Self::IcmpEcho => Box::new(IcmpEcho),
            Self::Wireguard => Box::new(Wireguard::new(Arc::clone(tunnels), at, way, len)?),
        })
    }
}

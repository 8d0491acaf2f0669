//! The one peer that a capture or a trace is of.

use crate::control::context::Context;
use crate::control::record::PeerRecord;
use crate::dpdk::Pool;
use crate::queue::FlowId;
use crate::queue::sync::Arc;
use std::sync::Weak;

/// A peer whose packets are looked at by its flow's number, which is another's once the peer is gone. It keeps nothing alive: neither the
/// secrets of a peer that is gone nor, while a disk hangs, what has to go before the ports do.
#[derive(Debug)]
pub(super) struct OnePeer {
    context: Weak<Context<Pool>>,
    record: Weak<PeerRecord>,
    flow: FlowId,
}

impl OnePeer {
    /// Why what looked at it is over.
    pub(super) const GONE: &str = "the peer is gone";

    /// The peer of this record.
    pub(super) fn new(context: &Arc<Context<Pool>>, record: &Arc<PeerRecord>) -> Self {
        Self { context: Arc::downgrade(context), record: Arc::downgrade(record), flow: record.flow }
    }

    /// Its number in the data path.
    pub(super) fn flow(&self) -> u32 {
        self.flow.0
    }

    /// Whether it was removed; `false`: all that was shown by its number until now was its own, since a number is given on only
    /// after its record has left the directory. Locks the directory for a moment: no data core.
    pub(super) fn is_gone(&self) -> bool {
        let now = self.context.upgrade().and_then(|context| context.directory.by_flow(self.flow));
        now.is_none_or(|now| Arc::as_ptr(&now) != self.record.as_ptr())
    }
}

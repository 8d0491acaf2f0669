//! `rxonly`: packets are received, and end.

use super::stream::{Ends, Forward, Queues};

pub(super) struct RxOnly;

impl<E: Ends> Forward<E> for RxOnly {
    fn turn(&mut self, queues: &mut Queues<E>) -> usize {
        let count = queues.receive();
        queues.end();
        count
    }
}

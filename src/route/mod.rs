//! Tables that all cores read without locks and one control thread writes: allowed IPs, routes, neighbours.

mod adjacency;
mod allowed_ips;
mod fib;
mod lpm;
mod next_hop;

pub use adjacency::{Adjacencies, AdjacencyIndex, AdjacencyWriter, NoHeader, PER_PORT_MAX, PORTS_MAX};
pub use allowed_ips::{AllowedIps, AllowedIpsWriter};
pub use fib::{Fib, FibWriter, RouteError};
pub use lpm::{Key, Lpm, LpmWriter};
pub use next_hop::NextHop;

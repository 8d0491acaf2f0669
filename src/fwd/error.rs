//! What can go wrong around a lab.

use crate::aead::ChooseError;
use crate::dpdk::{DeviceError, EalError, PoolError, PortError};
use crate::noise::HandshakeError;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// DPDK did not start.
    #[error(transparent)]
    Eal(#[from] EalError),
    /// No packet memory.
    #[error("{0} --total-num-mbufs=N makes fewer, -m MB before the -- gives DPDK more memory")]
    Pool(#[from] PoolError),
    /// A port did not do it.
    #[error(transparent)]
    Port(#[from] PortError),
    /// It is no device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// No cipher.
    #[error(transparent)]
    Crypto(#[from] ChooseError),
    /// The two ends of a tunnel did not get together.
    #[error("the handshake of a tunnel: {0}; report this")]
    Handshake(#[from] HandshakeError),
    /// A forwarding thread did not start, or died.
    #[error("a forwarding thread: {0}")]
    Thread(String),
    /// Words for what cannot be done now.
    #[error("{0}")]
    Refused(String),
}

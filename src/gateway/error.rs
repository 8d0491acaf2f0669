//! Why a gateway does not start.

use super::privileges::PrivilegesError;
use crate::aead;
use crate::config::ConfigError;
use crate::control::interface::ChangeError;
use crate::control::uapi::UapiError;
use crate::dpdk::{DeviceError, EalError, FragmentTableError, LcoreError, PoolError, PortError};
use crate::route::RouteError;
use std::path::PathBuf;

/// Why a gateway does not start. Nothing is left behind then. Its text is one sentence with the mend.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration, a key file or a peers file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A device that cannot be one.
    #[error("[[port]] {port}: {error}")]
    Device {
        /// The port.
        port: String,
        /// What is wrong.
        error: DeviceError,
    },
    /// Less memory than the packet buffers need.
    #[error(
        "the packet buffers need {mib} MiB, and this machine has {available_mib} MiB to give. Write fewer [memory] mbufs, or \"auto\"."
    )]
    Memory {
        /// MiB that are needed.
        mib: u32,
        /// MiB that there are.
        available_mib: u64,
    },
    /// The EAL.
    #[error(transparent)]
    Eal(#[from] EalError),
    /// A port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The packet pool.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The table of outer fragments.
    #[error(transparent)]
    Fragments(#[from] FragmentTableError),
    /// Routes that contradict each other.
    #[error("[[port]] {port}: {error}. Give each address and each route once, on one port of a side")]
    Route {
        /// The port.
        port: String,
        /// What is wrong.
        error: RouteError,
    },
    /// A cipher backend that is not there, or computes wrongly.
    #[error(transparent)]
    Cipher(#[from] aead::ChooseError),
    /// More ports than are counted.
    #[error("{0} ports, but {most} are the most: leave some [[port]] out", most = crate::shared::MOST_PORTS)]
    TooManyPorts(usize),
    /// The `wg` socket.
    #[error(transparent)]
    Uapi(#[from] UapiError),
    /// The control socket.
    #[error("[control] socket {}: {error}. Name a path that this user may write, or stop the other gateway", path.display())]
    ControlSocket {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        error: std::io::Error,
    },
    /// Where the metrics would be.
    #[error(
        "[metrics] listen {listen}: {error}. Name an address of this machine and a port that nobody else has, or listen = \"\" for no metrics."
    )]
    Metrics {
        /// Where.
        listen: std::net::SocketAddr,
        /// What is wrong.
        error: std::io::Error,
    },
    /// DPDK takes no more telemetry commands.
    #[error("DPDK's telemetry takes none of culvert's commands: {0}")]
    Telemetry(crate::dpdk::Errno),
    /// The user that it is to run as.
    #[error(transparent)]
    Privileges(#[from] PrivilegesError),
    /// The key log.
    #[error("--key-log {}: {error}. Name a file of its own, no link, that this user may write", path.display())]
    KeyLog {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        error: std::io::Error,
    },
    /// The signal handlers.
    #[error("signals: {0}")]
    Signals(std::io::Error),
    /// A peers file asks for too much, or for what is another interface's.
    #[error("{}{}: {error}.", file.display(), at(*line))]
    Peers {
        /// The file.
        file: PathBuf,
        /// The line, 1 the first; 0: it is not one line's fault.
        line: u32,
        /// What is wrong.
        error: ChangeError,
    },
    /// A thread could not be started.
    #[error("thread {name}: {error}")]
    Thread {
        /// Which.
        name: String,
        /// What is wrong.
        error: std::io::Error,
    },
    /// DPDK does not take a thread.
    #[error("thread {name}: {error}")]
    Lcore {
        /// Which.
        name: String,
        /// What is wrong.
        error: LcoreError,
    },
}

/// The line as it stands behind a file's name.
fn at(line: u32) -> String {
    if line == 0 { String::new() } else { format!(":{line}") }
}

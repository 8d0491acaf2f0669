//! What may be asked of a lab (`culvert pmd`) beside what a gateway answers too. It runs in the process that asks.

use serde::Serialize;

/// One order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabRequest {
    /// Forwarding begins.
    Start {
        /// With so many bursts of made packets a stream, 10,000 at most.
        bursts_first: u32,
    },
    /// It ends.
    Stop,
    /// What is done with packets.
    SetFwd {
        /// A mode's name.
        mode: String,
    },
    /// Packets a burst, at most.
    SetBurst {
        /// So many.
        packets: u32,
    },
    /// The length of packets that are made.
    SetTxpkts {
        /// Bytes of a frame, FCS not among them.
        bytes: u32,
    },
    /// How many cores forward.
    SetNbcore {
        /// So many.
        cores: u32,
    },
    /// Which cores forward.
    SetCorelist {
        /// Their numbers, with commas between.
        cores: String,
    },
    /// Which packets are shown.
    SetVerbose {
        /// 0: none; 1: those received, 2: those sent, 3: both.
        level: u32,
    },
    /// To whom a port sends.
    SetEthPeer {
        /// The port's number.
        port: u32,
        /// A MAC address.
        mac: String,
    },
    /// Something is done to ports.
    Port {
        /// What.
        action: PortAction,
        /// A number, a name, or `all`.
        port: String,
    },
    /// A device becomes a port.
    PortAttach {
        /// As the EAL's `-a` and `--vdev` name it.
        device: String,
    },
}

/// What is done to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortAction {
    /// It is set up and started.
    Start,
    /// It is stopped; its queues are emptied.
    Stop,
    /// Both.
    Reset,
    /// It is closed.
    Close,
    /// The same: a virtual device is gone with its port.
    Detach,
}

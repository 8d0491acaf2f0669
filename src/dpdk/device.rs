//! The device of a port, as the configuration names it: a PCI address, or a virtual device with its arguments.

use std::fmt;
use std::str::FromStr;

/// Longest device name with its arguments that is taken, in bytes.
const LONGEST: usize = 1024;

/// Longest name of a virtual device (RTE_DEV_NAME_MAX_LEN, less what [`Device::unique`] appends).
const LONGEST_NAME: usize = 40;

/// The kernel puts a header of this many bytes before each frame in an AF_PACKET ring (TPACKET_V2, with its alignment).
const PACKET_HEADER: u32 = 66;

/// What the driver takes off the frame size to get the room that an mbuf must have (`TPACKET2_HDRLEN - sockaddr_ll`).
const PACKET_HEADER_COUNTED: u32 = 32;

/// Ethernet header and two VLAN tags.
const ETHERNET: u32 = 14 + 2 * 4;

/// `0000:3b:00.0`: domain, bus, device, function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PciAddress {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

/// What a port runs on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Device {
    /// A NIC.
    Pci {
        /// Where it is.
        address: PciAddress,
        /// Driver arguments, `key=value,…`; often empty.
        args: String,
    },
    /// A virtual device.
    Vdev {
        /// The driver's name, with or without something behind it that makes it unique: `net_af_packet`, `net_ring0`.
        name: String,
        /// Driver arguments, `key=value,…`.
        args: String,
    },
}

/// It is no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "device {text:?} is neither a PCI address (0000:3b:00.0) nor a virtual device of DPDK \
     (net_af_packet,iface=wan0): {why}"
)]
pub struct DeviceError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Device {
    /// The interface of the kernel that an AF_PACKET device stands on.
    pub fn kernel_interface(&self) -> Option<&str> {
        if self.is_af_packet() { self.arg("iface") } else { None }
    }

    /// Whether it is a virtual device.
    pub fn is_vdev(&self) -> bool {
        matches!(self, Self::Vdev { .. })
    }

    /// The device behind a port of this name, whose arguments are the EAL's business.
    pub(super) fn of_port(name: &str) -> Self {
        match PciAddress::parse(name) {
            Some(address) => Self::Pci { address, args: String::new() },
            None => Self::Vdev { name: name.to_owned(), args: String::new() },
        }
    }

    /// The name of the port that DPDK makes of it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Pci { address, .. } => address.to_string(),
            Self::Vdev { name, .. } => name.clone(),
        }
    }

    /// The same device under a name that is not used twice: a vdev's name ends with a digit, else `_culvert<serial>`
    /// is appended. (The vdev bus finds the driver by what the name begins with.)
    pub(super) fn unique(&self, serial: u32) -> Self {
        match self {
            Self::Vdev { name, args } if !name.ends_with(|last: char| last.is_ascii_digit()) => {
                Self::Vdev { name: format!("{name}_culvert{serial}"), args: args.clone() }
            }
            _ => self.clone(),
        }
    }

    /// The same device with the arguments that culvert gives when the user did not.
    ///
    /// AF_PACKET: DPDK's ring of 512 frames loses bursts, and frames of 2,048 bytes cut packets above 1,982 without a
    /// word. So: 4,096 frames, each large enough for `mtu`, four to a block (the driver wants whole frames in a block, the
    /// kernel whole pages), and as many queues as are wanted.
    pub(super) fn with_defaults(&self, queues: u16, mtu: u16) -> Self {
        let mut device = self.clone();
        if device.is_af_packet() {
            let wanted = (u32::from(mtu) + ETHERNET + PACKET_HEADER).next_multiple_of(2048);
            let frame_size = device.number("framesz").unwrap_or(wanted);
            let block_size =
                device.number("blocksz").unwrap_or_else(|| frame_size.saturating_mul(4).next_multiple_of(4096));
            for (key, value) in [
                ("framesz", frame_size),
                ("blocksz", block_size),
                ("framecnt", 4096),
                ("qpairs", u32::from(queues.max(1))),
            ] {
                device.default_arg(key, value);
            }
        }
        device
    }

    /// The smallest room for a packet (without headroom) that the driver wants its mbufs to have, if it wants one.
    pub(super) fn smallest_room(&self) -> Option<u32> {
        let frame_size = if self.is_af_packet() {
            self.number("framesz")?
        } else {
            return None;
        };
        Some(frame_size.saturating_sub(PACKET_HEADER_COUNTED))
    }

    /// How many frames may wait in a queue that did not come in by this device. The AF_PACKET driver opens its sockets
    /// for all interfaces, makes their rings, and binds them only then.
    pub(super) fn stale_frames(&self) -> Option<u32> {
        if self.is_af_packet() { self.number("framecnt") } else { None }
    }

    fn is_af_packet(&self) -> bool {
        matches!(self, Self::Vdev { name, .. } if name.starts_with("net_af_packet") || name.starts_with("eth_af_packet"))
    }

    fn arg(&self, key: &str) -> Option<&str> {
        let (Self::Pci { args, .. } | Self::Vdev { args, .. }) = self;
        args.split(',').filter_map(|arg| arg.split_once('=')).find_map(|(name, value)| (name == key).then_some(value))
    }

    fn number(&self, key: &str) -> Option<u32> {
        self.arg(key)?.parse().ok()
    }

    fn default_arg(&mut self, key: &str, value: u32) {
        if self.arg(key).is_some() {
            return;
        }
        let (Self::Pci { args, .. } | Self::Vdev { args, .. }) = self;
        if !args.is_empty() {
            args.push(',');
        }
        args.push_str(&format!("{key}={value}"));
    }
}

impl FromStr for Device {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let error = |why| Err(DeviceError { text: text.to_owned(), why });
        if text.len() > LONGEST {
            return error("it is too long");
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return error("it holds spaces or control characters");
        }
        let (name, args) = text.split_once(',').unwrap_or((text, ""));
        let args = args.to_owned();
        if let Some(address) = PciAddress::parse(name) {
            return Ok(Self::Pci { address, args });
        }
        if !name.starts_with("net_") && !name.starts_with("eth_") {
            return error("virtual devices are named net_…");
        }
        if name.len() > LONGEST_NAME {
            return error("its name is too long");
        }
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
            return error("its name holds more than letters, digits, _ and -");
        }
        let device = Self::Vdev { name: name.to_owned(), args };
        if device.arg("internal").is_some() {
            return error("`internal` is net_ring's own: an address in memory");
        }
        Ok(device)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Pci { args, .. } | Self::Vdev { args, .. }) = self;
        let comma = if args.is_empty() { "" } else { "," };
        write!(f, "{}{comma}{args}", self.name())
    }
}

impl PciAddress {
    /// `DDDD:BB:DD.F`, or `BB:DD.F` in domain 0.
    fn parse(text: &str) -> Option<Self> {
        let (rest, function) = text.split_once('.')?;
        let mut fields = rest.rsplit(':');
        let device = hex(fields.next()?, 2)?;
        let bus = hex(fields.next()?, 2)?;
        let domain = fields.next().map_or(Some(0), |domain| hex(domain, 8))?;
        let function = hex(function, 1)?;
        if fields.next().is_some() || device > 0x1f || function > 7 {
            return None;
        }
        Some(Self {
            domain,
            bus: u8::try_from(bus).ok()?,
            device: u8::try_from(device).ok()?,
            function: u8::try_from(function).ok()?,
        })
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.device, self.function)
    }
}

fn hex(text: &str, longest: usize) -> Option<u32> {
    let digits = (1..=longest).contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit());
    if digits { u32::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(text: &str) -> Device {
        text.parse().unwrap()
    }

    #[test]
    fn pci_addresses() {
        assert_eq!(device("3B:00.1").to_string(), "0000:3b:00.1");
        assert_eq!(device("10000:3b:1f.7,representor=0").to_string(), "10000:3b:1f.7,representor=0");
        for wrong in ["0000:3b:00", "0000:3b:20.0", "0000:3b:00.8", "0:0:0:0.0", "g0:00.0", "000000000:00:00.0", ""] {
            assert!(wrong.parse::<Device>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn virtual_devices() {
        assert_eq!(device("net_ring0").unique(4).to_string(), "net_ring0");
        assert_eq!(device("net_null,size=64").unique(4).to_string(), "net_null_culvert4,size=64");
        assert_eq!(device("net_af_packet,iface=wan0").kernel_interface(), Some("wan0"));
        assert_eq!(device("net_tap,iface=wan0").kernel_interface(), None);
        for wrong in [
            "wan0",
            "net_tap, iface=x",
            "net_ring/0",
            "net_\0",
            "net_ring0,internal=0x7f00dead",
            &format!("net_{}", "x".repeat(64)),
        ] {
            assert!(wrong.parse::<Device>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn af_packet_gets_room_for_its_mtu() {
        let plain = device("net_af_packet,iface=wan0").with_defaults(2, 1500);
        assert_eq!(plain.to_string(), "net_af_packet,iface=wan0,framesz=2048,blocksz=8192,framecnt=4096,qpairs=2");
        assert_eq!(plain.smallest_room(), Some(2016));
        assert_eq!(plain.stale_frames(), Some(4096));
        let jumbo = device("net_af_packet,iface=wan0,framecnt=64").with_defaults(1, 9000);
        assert_eq!(jumbo.to_string(), "net_af_packet,iface=wan0,framecnt=64,framesz=10240,blocksz=40960,qpairs=1");
        let given = device("net_af_packet,iface=wan0,framesz=16384").with_defaults(1, 1500);
        assert!(given.to_string().contains("framesz=16384,blocksz=65536"));
        assert_eq!(device("net_ring0").with_defaults(8, 9000), device("net_ring0"));
    }

    #[test]
    fn the_ring_holds_whole_frames_and_pages_for_every_mtu() {
        for mtu in (68..=u16::MAX).step_by(61) {
            let device = device("net_af_packet,iface=x").with_defaults(1, mtu);
            let frame = device.number("framesz").unwrap();
            let block = device.number("blocksz").unwrap();
            assert!(frame >= u32::from(mtu) + ETHERNET + PACKET_HEADER);
            assert_eq!((block % 4096, block % frame, frame % 16), (0, 0, 0));
            assert_eq!(4096 % (block / frame), 0);
        }
    }
}

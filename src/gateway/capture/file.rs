//! The pcapng file of a capture: an interface for each port, for each tunnel, and for what was dropped.

use crate::shared::{DropReason, Point, Seen};
use pcap_file::DataLink;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::{PcapNgBlock, PcapNgWriteError, PcapNgWriter};
use rustix::fs::fstatfs;
use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Why nothing more is written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// The disk is full, for one.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// What is written there would be an order to the kernel.
    #[error("it lies in a file system of the kernel's: give a file on a disk")]
    Kernel,
    /// It would be no pcapng file.
    #[error("{0}")]
    Format(#[from] PcapNgWriteError),
}

/// File systems whose regular, empty files are the kernel's own (statfs(2), linux/magic.h): procfs, sysfs, cgroup 1 and 2, debugfs, tracefs,
/// securityfs, configfs, efivarfs.
const KERNELS: [u64; 9] =
    [0x9fa0, 0x6265_6572, 0x0027_e0eb, 0x6367_7270, 0x6462_6720, 0x7472_6163, 0x7363_6673, 0x6265_6570, 0xde5e_81e4];

/// Flags of a packet (pcapng, `epb_flags`): which way it went.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// The places that packets are seen at, by name.
#[derive(Clone, Debug, Default)]
pub(in crate::gateway) struct Places {
    /// The ports, in order of their ids.
    pub(in crate::gateway) ports: Vec<String>,
    /// The interfaces, in order of theirs.
    pub(in crate::gateway) tunnels: Vec<String>,
}

impl Places {
    /// What the file calls them, and what their packets begin with.
    fn interfaces(&self) -> Vec<(&str, DataLink)> {
        let ports = self.ports.iter().map(|name| (name.as_str(), DataLink::ETHERNET));
        let tunnels = self.tunnels.iter().map(|name| (name.as_str(), DataLink::RAW));
        let dropped =
            [("dropped", DataLink::ETHERNET), ("dropped-inner", DataLink::RAW), ("dropped-other", DataLink::USER0)];
        ports.chain(tunnels).chain(dropped).collect()
    }

    /// Where a packet belongs among them.
    fn of(&self, seen: &Seen) -> usize {
        let (ports, dropped) = (self.ports.len(), self.ports.len() + self.tunnels.len());
        let place = usize::from(seen.place);
        match seen.point {
            Point::Received | Point::Sent | Point::Sealed if place < ports => place,
            // What finds no room in a TX ring names the port that it came by.
            Point::DroppedFrame if place < ports && seen.reason != Some(DropReason::TxFull) => place,
            Point::Opened | Point::ToSeal if ports + place < dropped => ports + place,
            Point::Received | Point::Sent | Point::Sealed | Point::DroppedFrame => dropped,
            Point::Opened | Point::ToSeal | Point::DroppedInner => dropped + 1,
            Point::DroppedOther => dropped + 2,
        }
    }
}

/// Turns ticks of the TSC into the time of day.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct TickClock {
    ticks: u64,
    hz: u64,
    time: Duration,
}

impl TickClock {
    /// It is `ticks` now, and there are `hz` a second.
    pub(in crate::gateway) fn now(ticks: u64, hz: u64) -> Self {
        Self { ticks, hz: hz.max(1), time: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
    }

    fn at(&self, ticks: u64) -> Duration {
        let nanos = |ticks: u64| {
            let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(self.hz);
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        match ticks.checked_sub(self.ticks) {
            Some(later) => self.time.saturating_add(nanos(later)),
            None => self.time.saturating_sub(nanos(self.ticks - ticks)),
        }
    }
}

/// The file.
pub(super) struct PacketFile {
    writer: PcapNgWriter<BufWriter<File>>,
    places: Places,
    clock: TickClock,
}

impl PacketFile {
    /// Writes what stands before the packets, of each of which there are `snap` bytes at most. A thread that may wait, as for all else here:
    /// the file may lie on another host.
    pub(super) fn begin(file: File, places: Places, snap: u32, clock: TickClock) -> Result<Self, WriteError> {
        let kind = fstatfs(&file).map_err(std::io::Error::from)?.f_type;
        if u64::try_from(kind).is_ok_and(|kind| KERNELS.contains(&kind)) {
            return Err(WriteError::Kernel);
        }
        let mut writer = PcapNgWriter::new(BufWriter::new(file))?;
        for (name, linktype) in places.interfaces() {
            let options = vec![
                InterfaceDescriptionOption::IfName(Cow::Borrowed(name)),
                InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
            ];
            writer.write_block(&InterfaceDescriptionBlock { linktype, snaplen: snap, options }.into_block())?;
        }
        writer.get_mut().flush()?;
        Ok(Self { writer, places, clock })
    }

    /// Writes one packet, of which `data` was seen.
    pub(super) fn write(&mut self, seen: &Seen, data: &[u8]) -> Result<(), WriteError> {
        let flags = match seen.point {
            Point::Received | Point::Opened => INBOUND,
            Point::Sent | Point::Sealed | Point::ToSeal => OUTBOUND,
            Point::DroppedFrame | Point::DroppedInner | Point::DroppedOther => 0,
        };
        let mut options = vec![EnhancedPacketOption::Flags(flags)];
        if let Some(reason) = seen.reason {
            let comment = format!("dropped: {}: {}", reason.name(), reason.hint());
            options.push(EnhancedPacketOption::Common(CommonOption::Comment(Cow::Owned(comment))));
        }
        let block = EnhancedPacketBlock {
            interface_id: u32::try_from(self.places.of(seen)).unwrap_or(0),
            timestamp: self.clock.at(seen.ticks),
            // It is told by another thread: what it says of itself is not relied on.
            original_len: seen.len.max(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            data: Cow::Borrowed(data),
            options,
        };
        self.writer.write_block(&block.into_block())?;
        Ok(())
    }

    /// Writes through to the file.
    pub(super) fn flush(&mut self) -> Result<(), WriteError> {
        Ok(self.writer.get_mut().flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_times() {
        let clock = TickClock { ticks: 1000, hz: 2_600_000_000, time: Duration::from_secs(1_700_000_000) };
        assert_eq!(clock.at(1000), clock.time);
        assert_eq!(clock.at(1000 + 26), clock.time + Duration::from_nanos(10));
        assert_eq!(clock.at(1000 + 2_600_000_000 * 86_400 * 365), clock.time + Duration::from_secs(86_400 * 365));
        assert_eq!(clock.at(1000 - 26), clock.time - Duration::from_nanos(10));
    }

    #[test]
    fn nothing_is_written_to_the_kernel() {
        // Regular, and empty for all that stat(2) says.
        let comm = File::options().write(true).open("/proc/thread-self/comm").unwrap();
        let clock = TickClock::now(0, 1);
        let refused = PacketFile::begin(comm, Places::default(), 1, clock).err();
        assert!(matches!(refused, Some(WriteError::Kernel)), "{refused:?}");
        assert!(PacketFile::begin(tempfile::tempfile().unwrap(), Places::default(), 1, clock).is_ok());
    }

    #[test]
    fn each_packet_has_its_interface() {
        let places = Places { ports: vec!["wan".into(), "lan".into()], tunnels: vec!["wg0".into()] };
        let names: Vec<_> = places.interfaces().iter().map(|(name, _)| *name).collect();
        let of = |point, place, reason| {
            let seen = Seen { run: 1, point, reason, place, ticks: 0, len: 0, peer: None };
            names[places.of(&seen)]
        };
        let full = Some(DropReason::TxFull);
        for (point, place, reason, name) in [
            (Point::Received, 0, None, "wan"),
            (Point::Sealed, 1, None, "lan"),
            (Point::Sent, 2, None, "dropped"),
            (Point::ToSeal, 0, None, "wg0"),
            (Point::Opened, 9, None, "dropped-inner"),
            (Point::DroppedFrame, 1, Some(DropReason::Runt), "lan"),
            (Point::DroppedFrame, 1, full, "dropped"),
            (Point::DroppedInner, 0, Some(DropReason::NoPeer), "dropped-inner"),
            (Point::DroppedOther, 0, Some(DropReason::BadInner), "dropped-other"),
        ] {
            assert_eq!(of(point, place, reason), name, "{point:?} {place}");
        }
    }
}

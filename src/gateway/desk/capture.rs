//! What is captured, in the words of those who ask.

use super::Desk;
use crate::api::{CaptureOf, Request};
use crate::dpdk::{tsc, tsc_hz};
use crate::gateway::capture::{Places, TickClock, Wanted};
use crate::gateway::one_peer::OnePeer;
use crate::shared::{Point, Watch};
use rustix::fs::{AtFlags, FileType, OFlags, StatxFlags, fcntl_getfl, statx};
use serde_json::Value;
use std::fs::File;
use std::os::fd::OwnedFd;

/// Packets a capture, if nothing else is asked for.
const LIMIT: u32 = 10_000;
/// Bytes a packet, if nothing else is asked for: all.
const SNAP: u32 = 65_535;

impl Desk {
    /// Begins a capture into the file that came with the request.
    pub(super) fn capture_start(&self, request: &Request, file: Option<OwnedFd>) -> Result<Value, String> {
        let Request::CaptureStart { file: name, of, port, peer, limit, snap } = request else {
            return Err("that is no capture".to_owned());
        };
        let file = empty_file(file)?;
        let (limit, snap) = (limit.unwrap_or(LIMIT), snap.unwrap_or(SNAP));
        if limit == 0 || snap == 0 {
            return Err("a capture of nothing: limit and snap are 1 or more".to_owned());
        }
        let (watch, what, peer) = self.watch(*of, port.as_deref(), peer.as_deref(), snap)?;
        let wanted = Wanted { watch, peer, what, file: name.clone(), limit, snap };
        let (ports, tunnels) = (&self.shared.ports, &self.shared.tunnels);
        let places = Places {
            ports: ports.iter().map(|port| port.name.clone()).collect(),
            tunnels: tunnels.iter().map(|tunnel| tunnel.name.clone()).collect(),
        };
        let clock = TickClock::now(tsc(), tsc_hz(&self.eal));
        let (data, control) = self.report.counters();
        let counters = data.into_iter().chain(control).collect();
        self.capture.start(wanted, file, places, clock, counters, self.cores.control)
    }

    /// The one peer that is meant.
    pub(super) fn one_peer(&self, asked: &str) -> Result<OnePeer, String> {
        Ok(OnePeer::new(&self.context, &self.find(asked)?))
    }

    /// What to look at, its name, and the peer if it is one's.
    fn watch(
        &self,
        of: Option<CaptureOf>,
        port: Option<&str>,
        peer: Option<&str>,
        snap: u32,
    ) -> Result<(Watch, String, Option<OnePeer>), String> {
        use Point::{DroppedFrame, DroppedInner, DroppedOther, Opened, Received, Sealed, Sent, ToSeal};
        let outer = self.shared.ports.iter().filter(|port| port.roles.outer).map(|port| port.id);
        let watch = |points: &[Point]| Watch::new(points, snap);
        match (of, port, peer) {
            (_, Some(_), Some(_)) => Err("a port's frames or a peer's packets, not both".to_owned()),
            (Some(CaptureOf::Drops), None, None) => {
                Ok((watch(&[DroppedFrame, DroppedInner, DroppedOther]), "drops".to_owned(), None))
            }
            (Some(CaptureOf::Drops), ..) => {
                Err("a dropped packet's port or peer is not always known: capture all drops".to_owned())
            }
            (Some(CaptureOf::Inner), Some(_), _) => Err("inner packets belong to a tunnel, not to a port".to_owned()),
            (_, Some(port), None) => {
                let ports = self.ports_of(port)?;
                let ids: Vec<u16> = ports.iter().filter_map(|(id, _)| u16::try_from(*id).ok()).collect();
                if of == Some(CaptureOf::Outer) && !outer.into_iter().any(|id| ids.contains(&id)) {
                    return Err(format!("port {port} carries no outer packets"));
                }
                Ok((watch(&[Received, Sent]).ports(ids), format!("port {port}"), None))
            }
            (of, None, Some(peer)) => {
                let one = self.one_peer(peer)?;
                let (points, what): (&[Point], _) = match of {
                    Some(CaptureOf::Inner) => (&[Opened, ToSeal], "inner packets"),
                    Some(CaptureOf::Outer) => (&[Received, Sealed], "outer packets"),
                    _ => (&[Opened, ToSeal, Received, Sealed], "packets"),
                };
                Ok((watch(points).ports(outer).peer(one.flow()), format!("{what} of peer {peer}"), Some(one)))
            }
            (Some(CaptureOf::Inner), None, None) => Ok((watch(&[Opened, ToSeal]), "inner packets".to_owned(), None)),
            (Some(CaptureOf::Outer), None, None) => {
                Ok((watch(&[Received, Sent]).ports(outer), "outer packets".to_owned(), None))
            }
            (None, None, None) => {
                Ok((watch(&[Received, Sent, Opened, ToSeal]).ports(outer), "outer and inner packets".to_owned(), None))
            }
        }
    }
}

/// The file that was handed over, which is to be a new one: what is no file could keep the writer waiting for ever.
fn empty_file(file: Option<OwnedFd>) -> Result<File, String> {
    let file =
        file.ok_or("the file has to be handed over with the request (SCM_RIGHTS), as `culvert capture start` does")?;
    // Nobody waits here for another host: what is known of the file since it was opened is enough.
    let how = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = statx(&file, "", how, StatxFlags::TYPE | StatxFlags::SIZE).map_err(|error| error.to_string())?;
    let flags = fcntl_getfl(&file).map_err(|error| error.to_string())?;
    if !FileType::from_raw_mode(stat.stx_mode.into()).is_file()
        || stat.stx_size != 0
        || !flags.intersects(OFlags::WRONLY | OFlags::RDWR)
    {
        return Err("what was handed over is no new file to write to".to_owned());
    }
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn only_an_empty_file_to_write_to_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        assert!(empty_file(None).unwrap_err().contains("SCM_RIGHTS"));
        let mut file = File::create(&path).unwrap();
        assert!(empty_file(Some(file.try_clone().unwrap().into())).is_ok());
        let refused = |fd: OwnedFd| empty_file(Some(fd)).unwrap_err().contains("no new file");
        assert!(refused(File::open(&path).unwrap().into()), "read only");
        file.write_all(b"x").unwrap();
        assert!(refused(file.into()), "not empty");
        assert!(refused(File::create("/dev/null").unwrap().into()), "no file");
        let (end, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(refused(end.into()), "a socket");
    }
}

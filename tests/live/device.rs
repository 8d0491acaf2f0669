//! The device under test: culvertd, or somebody else's WireGuard in its place, with peers that the test crafts.

use crate::bench::programs;
use crate::crafted::{Crafted, SOON, Wire};
use culvert::cli::lab::{
    GATEWAY_V4, Gateway, HOST_V4, HOST_V6, Implementation, Lab, LabError, Options, Process, Result, ensure, uapi,
    uapi_peers,
};
use culvert::noise::{Identity, os_random};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Where crafted peers are: the router.
const AT: &str = "192.0.2.1";
const PORT: u16 = 9000;

enum Program {
    Culvertd(Gateway),
    Other(Implementation, Process),
}

/// The device between crafted peers and the inner host.
pub(crate) struct Device {
    program: Program,
    interface: String,
    pub(crate) lab: Lab,
    public: [u8; 32],
    private: [u8; 32],
    number: u8,
    /// The inner host's sockets: IPv4, IPv6.
    hosts: [UdpSocket; 2],
}

impl Device {
    pub(crate) fn culvertd() -> Result<Self> {
        let lab = Lab::new(0)?;
        let gateway = Gateway::start(&lab, &programs(), &Options::default(), &[])?;
        let interface = gateway.interface().to_owned();
        Self::new(lab, interface, Program::Culvertd(gateway))
    }

    /// An implementation that makes a tun interface, where the kernel forwards.
    pub(crate) fn other(implementation: &Implementation) -> Result<Self> {
        let lab = Lab::new(0)?;
        let namespace = lab.gateway();
        namespace.sysctl(&[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")])?;
        namespace.sysctl(&[("ipv6/conf/wan0/disable_ipv6", "0"), ("ipv6/conf/lan0/disable_ipv6", "0")])?;
        namespace.sysctl(&[("ipv6/conf/default/disable_ipv6", "0")])?;
        namespace.ip("addr add 192.0.2.10/24 dev wan0\naddr add 2001:db8::10/64 dev wan0\n\
             addr add 10.10.0.1/24 dev lan0\naddr add fd00:10::1/64 dev lan0")?;
        let interface = lab.unique("dut");
        let process = start(&lab, implementation, &interface)?;
        Self::new(lab, interface, Program::Other(implementation.clone(), process))
    }

    fn new(lab: Lab, interface: String, program: Program) -> Result<Self> {
        let mut private = [0; 32];
        os_random(&mut private);
        let public = *Identity::new(&private).public_key();
        let bind = |address: &str| {
            let at: SocketAddr = (address.parse::<IpAddr>().unwrap(), PORT).into();
            lab.host().enter(|| UdpSocket::bind(at))
        };
        let hosts = [bind(HOST_V4)?, bind(HOST_V6)?];
        let device = Self { program, interface, lab, public, private, number: 0, hosts };
        device.give_key()?;
        Ok(device)
    }

    fn give_key(&self) -> Result<()> {
        let key = crate::crafted::hex(&self.private);
        self.set(&format!("private_key={key}\nlisten_port=51820\n"))
    }

    /// A new device in place of one that has failed. (culvertd is never given a second chance.)
    pub(crate) fn restart(&mut self) -> Result<()> {
        let Program::Other(implementation, process) = &mut self.program else { return Ok(()) };
        process.kill();
        *process = start(&self.lab, implementation, &self.interface)?;
        self.give_key()
    }

    /// Whether it runs and answers.
    pub(crate) fn alive(&mut self) -> Result<()> {
        let runs = match &mut self.program {
            Program::Culvertd(gateway) => gateway.runs(),
            Program::Other(_, process) => process.runs(),
        };
        ensure(runs, "the device", "it has ended")?;
        self.get().map(drop)
    }

    /// The end: of culvertd, with the two laws.
    pub(crate) fn finish(self) -> Result<()> {
        match self.program {
            // With the peers goes what waits for sessions that will not come.
            Program::Culvertd(gateway) => {
                uapi(&self.interface, "set=1\nreplace_peers=true\n\n")?;
                gateway.stop().map(drop)
            }
            Program::Other(..) => Ok(()),
        }
    }

    /// What it answers to `get=1`.
    pub(crate) fn get(&self) -> Result<String> {
        uapi(&self.interface, "get=1\n\n")
    }

    /// What it says of a peer under this name.
    pub(crate) fn shown(&self, peer: &Crafted, what: &str) -> Result<String> {
        let shown = uapi_peers(&self.get()?).get(&peer.key()).and_then(|peer| peer.get(what)).cloned();
        shown.ok_or_else(|| LabError::new("get=1", format!("no {what} of the peer")))
    }

    /// `set=1` with these lines, which it has to take.
    pub(crate) fn set(&self, lines: &str) -> Result<()> {
        let answer = uapi(&self.interface, &format!("set=1\n{lines}\n"))?;
        ensure(answer == "errno=0\n\n", format!("set=1 {lines:?}"), format!("{answer:?}"))
    }

    /// A new peer, with a key, a socket and two inner addresses of its own; `more` lines of its section.
    pub(crate) fn peer(&mut self, more: impl FnOnce(&Crafted) -> String) -> Result<Crafted> {
        self.number += 1;
        let mut private = [0; 32];
        os_random(&mut private);
        let peer = Crafted::new(self.number, private, &self.public, self.wire()?);
        let (key, v4, v6) = (peer.key(), peer.v4(), peer.v6());
        self.set(&format!("public_key={key}\nallowed_ip={v4}/32\nallowed_ip={v6}/128\n{}", more(&peer)))?;
        Ok(peer)
    }

    /// A new peer with a session.
    pub(crate) fn connected(&mut self) -> Result<Crafted> {
        let mut peer = self.peer(|_| String::new())?;
        peer.connect()?;
        Ok(peer)
    }

    /// A socket somewhere else than all others.
    pub(crate) fn wire(&self) -> Result<Wire> {
        Wire::new(self.lab.net(), AT, GATEWAY_V4)
    }

    /// A peer that the device does not know.
    pub(crate) fn stranger(&self) -> Result<Crafted> {
        let mut private = [0; 32];
        os_random(&mut private);
        Ok(Crafted::new(0, private, &self.public, self.wire()?))
    }

    /// The inner host's IPv4 and IPv6 address, with its port.
    pub(crate) fn host(&self) -> [SocketAddr; 2] {
        self.hosts.each_ref().map(|socket| socket.local_addr().unwrap())
    }

    /// The inner host sends so many bytes to a peer's IPv4 address.
    pub(crate) fn host_sends(&self, peer: &Crafted, bytes: &[u8]) {
        self.hosts[0].send_to(bytes, (peer.v4().parse::<IpAddr>().unwrap(), 7000)).unwrap();
    }

    /// Sends a good packet of the peer's to the inner host, from a wire of choice: whether it arrives.
    pub(crate) fn passes(&self, peer: &mut Crafted, wire: Option<&Wire>, tag: u32) -> Result<()> {
        let message = peer.data(&Crafted::packet(&peer.v4(), self.host()[0], tag));
        wire.unwrap_or(&peer.wire).send(&message);
        self.arrives(0, tag, SOON)
    }

    /// Whether the datagram with this tag comes to the inner host's IPv4 or IPv6 socket.
    pub(crate) fn arrives(&self, family: usize, tag: u32, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        let mut room = [0; 64];
        while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.hosts[family].set_read_timeout(Some(left)).unwrap();
            match self.hosts[family].recv(&mut room) {
                Ok(4) if room[..4] == tag.to_be_bytes() => return Ok(()),
                _ => {}
            }
        }
        Err(LabError::new("a packet of the peer's", "it is not delivered"))
    }

    /// The tags that come to one of the inner host's sockets, until a moment after `last`.
    pub(crate) fn arrives_of(&self, family: usize, last: u32) -> Vec<u32> {
        let (mut tags, mut wait) = (Vec::new(), SOON);
        let mut room = [0; 64];
        loop {
            self.hosts[family].set_read_timeout(Some(wait)).unwrap();
            let Ok(count) = self.hosts[family].recv(&mut room) else { return tags };
            let tag = room[..count].first_chunk().map_or(0, |tag| u32::from_be_bytes(*tag));
            tags.push(tag);
            if tag == last {
                wait = Duration::from_millis(50);
            }
        }
    }

    /// The message that carries what the inner host sent, if it comes by this wire.
    pub(crate) fn comes_to(&self, wire: &Wire, peer: &Crafted, bytes: &[u8]) -> Option<Vec<u8>> {
        wire.receive(SOON, |message| {
            peer.open(message).is_some_and(|inner| inner.get(28..).is_some_and(|inner| inner.starts_with(bytes)))
        })
    }
}

fn start(lab: &Lab, implementation: &Implementation, interface: &str) -> Result<Process> {
    let log = lab.file("device.log");
    let _ = std::fs::remove_file(&log);
    let process = implementation.start(lab.gateway(), interface, &log)?;
    lab.gateway().ip(&format!(
        "link set {interface} up mtu 1420\nroute add 10.9.0.0/16 dev {interface}\nroute add fd00:9::/32 dev {interface}"
    ))?;
    Ok(process)
}

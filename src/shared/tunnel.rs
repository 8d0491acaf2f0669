//! The WireGuard interfaces, and whose each UDP port is.

use crate::queue::sync::{AtomicU8, AtomicU16, AtomicU64, Ordering};

/// How many interfaces there can be.
pub const MOST_INTERFACES: usize = 64;

/// One WireGuard interface's numbers that the data path needs.
#[derive(Debug)]
pub struct Tunnel {
    /// Its number: its place in [`super::Shared::tunnels`].
    pub id: u8,
    /// Its name in the configuration.
    pub name: String,
    /// Largest inner packet, bytes.
    pub mtu: u16,
    /// Whether the MSS of TCP connections is clamped to `mtu`.
    pub mss_clamp: bool,
    /// Configured ports that stay whatever `wg` sets.
    others: Vec<u16>,
    /// control: w, any core: r
    primary: AtomicU16,
}

impl Tunnel {
    /// An interface that listens on `listen_ports` (none: it listens nowhere). The first is the primary one: packets to peers that
    /// have not talked yet leave from it, and `wg` shows and changes it.
    pub fn new(id: u8, name: &str, listen_ports: &[u16], mtu: u16, mss_clamp: bool) -> Self {
        let (primary, others) = listen_ports.split_first().unwrap_or((&0, &[]));
        let (others, primary) = (others.to_vec(), AtomicU16::new(*primary));
        Self { id, name: name.to_owned(), mtu, mss_clamp, others, primary }
    }

    /// The primary UDP port. Any core.
    pub fn listen_port(&self) -> u16 {
        // Relaxed: the number stands for itself.
        self.primary.load(Ordering::Relaxed)
    }

    /// All UDP ports, the primary one first. Control threads.
    pub fn listen_ports(&self) -> Vec<u16> {
        let primary = self.listen_port();
        let others = self.others.iter().copied().filter(|port| *port != primary);
        std::iter::once(primary).chain(others).collect()
    }
}

/// UDP port → the interface that listens there. Read by one load a packet.
#[derive(Debug)]
pub struct ListenPorts {
    /// 0: nobody; n + 1: interface n. A place a port. control: w, any core: r
    holders: Box<[AtomicU8]>,
    /// How often a primary port has moved. control: w, any core: r
    generation: AtomicU64,
}

impl ListenPorts {
    /// The ports of these interfaces; of a port that two of them name the later has it.
    pub fn new(tunnels: &[Tunnel]) -> Self {
        let holders = (0..=u16::MAX).map(|_| AtomicU8::new(0)).collect();
        let ports = Self { holders, generation: AtomicU64::new(0) };
        for tunnel in tunnels {
            tunnel.listen_ports().into_iter().for_each(|port| ports.set(port, Some(tunnel.id)));
        }
        ports
    }

    /// The interface that listens on `port`. Any core.
    #[inline]
    pub fn tunnel_of(&self, port: u16) -> Option<u8> {
        // Relaxed: the number stands for itself; a message that races with a change may come a moment too early or too late.
        self.holders.get(usize::from(port))?.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Grows with every move of a primary port. Who keeps what it read here keeps the number that stood here before. Any core.
    #[inline]
    pub fn generation(&self) -> u64 {
        // Acquire: meets the Release add in `move_primary`.
        self.generation.load(Ordering::Acquire)
    }

    /// Moves the primary port of `tunnel` to `port`, and returns the port that is no longer listened on, if there is one. One control
    /// thread at a time.
    ///
    /// # Errors
    /// The number of the interface that holds `port`; nothing has changed then.
    pub fn move_primary(&self, tunnel: &Tunnel, port: u16) -> Result<Option<u16>, u8> {
        if let Some(holder) = self.tunnel_of(port).filter(|holder| *holder != tunnel.id) {
            return Err(holder);
        }
        // The new port is listened on before anything leaves from it.
        self.set(port, Some(tunnel.id));
        // Relaxed: the number stands for itself.
        let old = tunnel.primary.swap(port, Ordering::Relaxed);
        let gone = old != port && !tunnel.others.contains(&old);
        if gone {
            self.set(old, None);
        }
        // Release: meets the load in `generation`; whoever sees the new number sees the moves above.
        self.generation.fetch_add(1, Ordering::Release);
        Ok(gone.then_some(old))
    }

    fn set(&self, port: u16, tunnel: Option<u8>) {
        // No datagram comes to port 0.
        if let Some(place) = self.holders.get(usize::from(port)).filter(|_| port != 0) {
            // Relaxed: as above.
            place.store(tunnel.map_or(0, |id| id + 1), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> (Tunnel, Tunnel, ListenPorts) {
        let tunnels =
            [Tunnel::new(0, "wg0", &[51820, 443, 53], 1420, false), Tunnel::new(63, "wg1", &[65535], 1420, false)];
        let ports = ListenPorts::new(&tunnels);
        let [first, second] = tunnels;
        (first, second, ports)
    }

    #[test]
    fn every_port_has_its_interface_and_no_other_has_one() {
        let (.., ports) = two();
        for port in 0..=u16::MAX {
            let expected = match port {
                51820 | 443 | 53 => Some(0),
                65535 => Some(63),
                _ => None,
            };
            assert_eq!(ports.tunnel_of(port), expected, "{port}");
        }
    }

    #[test]
    fn the_primary_port_moves_and_the_configured_others_stay() {
        let (wg0, wg1, ports) = two();
        assert_eq!(ports.move_primary(&wg0, 51821), Ok(Some(51820)));
        assert_eq!((wg0.listen_ports(), ports.tunnel_of(51820)), (vec![51821, 443, 53], None));
        // To one of the others, and away from it again.
        assert_eq!(ports.move_primary(&wg0, 443), Ok(Some(51821)));
        assert_eq!(wg0.listen_ports(), [443, 53]);
        assert_eq!(ports.move_primary(&wg0, 1), Ok(None));
        assert_eq!((wg0.listen_ports(), ports.tunnel_of(443)), (vec![1, 443, 53], Some(0)));
        assert_eq!(ports.move_primary(&wg0, 1), Ok(None), "where it is already");
        assert_eq!(ports.tunnel_of(1), Some(0));
        // Another's.
        assert_eq!(ports.move_primary(&wg1, 53), Err(0));
        assert_eq!((wg1.listen_port(), ports.tunnel_of(53), ports.tunnel_of(65535)), (65535, Some(0), Some(63)));
    }

    #[test]
    fn an_interface_without_ports_listens_nowhere() {
        let tunnel = Tunnel::new(0, "wg0", &[], 1420, false);
        let ports = ListenPorts::new(std::slice::from_ref(&tunnel));
        assert_eq!((tunnel.listen_port(), ports.tunnel_of(0)), (0, None));
        assert_eq!(ports.move_primary(&tunnel, 7), Ok(Some(0)));
        assert_eq!(ports.tunnel_of(7), Some(0));
    }
}

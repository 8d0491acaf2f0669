//! A UDP stream with sequence numbers, at a steady pace.

use super::error::{LabError, Result};
use super::namespace::Namespace;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Bytes of the largest datagram.
const LARGEST: usize = 1_200;
/// How long the receiver waits for the next one.
const SILENCE: Duration = Duration::from_secs(2);

/// What became of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Datagrams that were sent.
    pub sent: u64,
    /// Different ones that arrived.
    pub received: u64,
    /// Those that came after one that was sent later.
    pub reordered: u64,
    /// Those that came again.
    pub duplicated: u64,
}

impl Stream {
    /// An error if one arrived twice or out of order, or more than one of a hundred did not arrive.
    ///
    /// # Errors
    /// They did.
    pub fn ordered(self) -> Result<()> {
        let enough = self.received > 0 && self.received >= self.sent - self.sent / 100;
        let good = enough && self.reordered == 0 && self.duplicated == 0;
        super::ensure(good, "UDP stream", format!("{self:?}"))
    }

    /// An error unless all arrived, once each and in order.
    ///
    /// # Errors
    /// They did not.
    pub fn whole(self) -> Result<()> {
        let good = self.received == self.sent && self.sent > 0 && self.reordered == 0 && self.duplicated == 0;
        super::ensure(good, "UDP stream", format!("{self:?}"))
    }
}

/// Sends `count` datagrams of changing size from one namespace to `to` in another, `rate` a second.
///
/// # Errors
/// A socket cannot be had, or refuses.
pub fn udp_stream(from: &Namespace, receiver: &Namespace, to: SocketAddr, rate: u32, count: u64) -> Result<Stream> {
    let any: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let inbound = receiver.enter(|| UdpSocket::bind(to))?;
    let outbound = from.enter(|| UdpSocket::bind(any))?;
    std::thread::scope(|scope| {
        let receiving = scope.spawn(|| receive(&inbound, count));
        let sent = send(&outbound, to, rate, count);
        let received = receiving.join().map_err(|_| LabError::new("UDP receiver", "it panicked"))?;
        let received = received.map_err(|error| LabError::new("UDP receiver", error))?;
        let sent = sent.map_err(|error| LabError::new("UDP sender", error))?;
        Ok(Stream { sent, ..received })
    })
}

fn send(socket: &UdpSocket, to: SocketAddr, rate: u32, count: u64) -> std::io::Result<u64> {
    let mut payload = [0x5a; LARGEST];
    let start = Instant::now();
    for number in 0..count {
        let due = start + Duration::from_secs(number) / rate.max(1);
        if let Some(early) = due.checked_duration_since(Instant::now()) {
            std::thread::sleep(early);
        }
        if let Some(head) = payload.first_chunk_mut() {
            *head = number.to_be_bytes();
        }
        // Sizes that go through all paddings, and from small to large and back.
        let size = 8 + usize::try_from(number * 89 % 1_193).unwrap_or(0);
        socket.send_to(payload.get(..size).unwrap_or(&payload), to)?;
    }
    Ok(count)
}

fn receive(socket: &UdpSocket, count: u64) -> std::io::Result<Stream> {
    let mut seen = vec![false; usize::try_from(count).unwrap_or(0)];
    let mut next = 0;
    let mut stream = Stream::default();
    let mut payload = [0; LARGEST];
    // The first may wait for a handshake.
    socket.set_read_timeout(Some(SILENCE * 5))?;
    while stream.received < count {
        match socket.recv(&mut payload) {
            Ok(_) => socket.set_read_timeout(Some(SILENCE))?,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => return Err(error),
        }
        let number = payload.first_chunk().map_or(0, |head| u64::from_be_bytes(*head));
        let Some(seen) = usize::try_from(number).ok().and_then(|number| seen.get_mut(number)) else { continue };
        if std::mem::replace(seen, true) {
            stream.duplicated += 1;
            continue;
        }
        stream.received += 1;
        stream.reordered += u64::from(number < next);
        next = next.max(number + 1);
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a receiver makes of these numbers.
    fn told(numbers: &[u64], count: u64) -> Stream {
        let inbound = UdpSocket::bind("127.0.0.1:0").unwrap();
        let outbound = UdpSocket::bind("127.0.0.1:0").unwrap();
        for number in numbers {
            outbound.send_to(&number.to_be_bytes(), inbound.local_addr().unwrap()).unwrap();
        }
        receive(&inbound, count).unwrap()
    }

    #[test]
    fn sees_loss_reordering_and_copies() {
        let stream = told(&[0, 1, 2, 3], 4);
        assert_eq!(stream, Stream { received: 4, ..Stream::default() });
        let stream = told(&[0, 2, 1, 1, 3], 4);
        assert_eq!(stream, Stream { received: 4, reordered: 1, duplicated: 1, sent: 0 });
        let stream = told(&[0, 3], 4);
        assert_eq!(stream, Stream { received: 2, ..Stream::default() });
        assert!(Stream { sent: 4, received: 4, reordered: 1, duplicated: 0 }.whole().is_err());
        assert!(Stream { sent: 4, received: 4, reordered: 0, duplicated: 0 }.whole().is_ok());
        let long = Stream { sent: 1_000, received: 990, reordered: 0, duplicated: 0 };
        assert!(long.whole().is_err() && long.ordered().is_ok());
        assert!(Stream { received: 989, ..long }.ordered().is_err());
        assert!(Stream { reordered: 1, ..long }.ordered().is_err());
        assert!(Stream { sent: 0, received: 0, ..long }.ordered().is_err());
    }

    #[test]
    fn keeps_its_pace() {
        let outbound = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
        let start = Instant::now();
        assert_eq!(send(&outbound, sink.local_addr().unwrap(), 1_000, 51).unwrap(), 51);
        assert!(start.elapsed() >= Duration::from_millis(50));
    }
}

//! Writes the answers: the lines of `get` in wireguard-go's order (`device/uapi.go`, `IpcGetOperation`).

use super::device::{DeviceView, Errno, PeerView};
use super::value::hex_digit;
use crate::control::change::SecretKey;
use std::fmt;
use std::io::{self, Write};
use zeroize::{Zeroize, Zeroizing};

/// How much is gathered before it goes out.
const BUFFER_BYTES: usize = 64 * 1024;

/// Streams one `get` answer through a buffer of fixed size, which is wiped after each write and on drop.
pub struct GetReply<W: Write> {
    out: W,
    /// Never longer than [`BUFFER_BYTES`], its capacity: a reallocation would leave keys behind.
    buffer: Zeroizing<Vec<u8>>,
}

impl<W: Write> fmt::Debug for GetReply<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetReply").field("buffered_bytes", &self.buffer.len()).finish_non_exhaustive()
    }
}

impl<W: Write> GetReply<W> {
    /// An answer to `out`, which should not buffer itself.
    pub fn new(out: W) -> Self {
        Self { out, buffer: Zeroizing::new(Vec::with_capacity(BUFFER_BYTES)) }
    }

    /// The lines of the interface; come first. What is zero is left out.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn device(&mut self, device: &DeviceView) -> io::Result<()> {
        if let Some(key) = device.private_key.as_ref().filter(|key| !key.is_zero()) {
            self.key("private_key", key.bytes())?;
        }
        if device.listen_port != 0 {
            writeln!(self, "listen_port={}", device.listen_port)?;
        }
        if device.fwmark != 0 {
            writeln!(self, "fwmark={}", device.fwmark)?;
        }
        Ok(())
    }

    /// The lines of one peer.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn peer(&mut self, peer: &PeerView) -> io::Result<()> {
        self.key("public_key", &peer.public_key)?;
        self.key("preshared_key", peer.preshared_key.as_ref().map_or(&[0; 32], SecretKey::bytes))?;
        self.write_all(b"protocol_version=1\n")?;
        if let Some(endpoint) = peer.endpoint {
            writeln!(self, "endpoint={endpoint}")?;
        }
        let handshake = peer.last_handshake.unwrap_or_default();
        writeln!(self, "last_handshake_time_sec={}", handshake.as_secs())?;
        writeln!(self, "last_handshake_time_nsec={}", handshake.subsec_nanos())?;
        writeln!(self, "tx_bytes={}", peer.tx_bytes)?;
        writeln!(self, "rx_bytes={}", peer.rx_bytes)?;
        writeln!(self, "persistent_keepalive_interval={}", peer.persistent_keepalive)?;
        for prefix in &peer.allowed_ips {
            writeln!(self, "allowed_ip={prefix}")?;
        }
        Ok(())
    }

    /// The end of the answer; sends what is left.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(mut self) -> io::Result<()> {
        self.write_all(b"errno=0\n\n")?;
        self.flush()
    }

    fn key(&mut self, name: &str, key: &[u8; 32]) -> io::Result<()> {
        let mut digits = Zeroizing::new([0; 64]);
        for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(key) {
            *pair = [hex_digit(byte >> 4), hex_digit(byte & 0xf)];
        }
        self.write_all(name.as_bytes())?;
        self.write_all(b"=")?;
        self.write_all(digits.as_ref())?;
        self.write_all(b"\n")
    }
}

impl<W: Write> Write for GetReply<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() == BUFFER_BYTES {
            self.flush()?;
        }
        let room = BUFFER_BYTES - self.buffer.len();
        let (now, _) = bytes.split_at(bytes.len().min(room));
        self.buffer.extend_from_slice(now);
        Ok(now.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let sent = self.out.write_all(&self.buffer);
        // Wipes and empties it; the allocation stays.
        self.buffer.zeroize();
        sent?;
        self.out.flush()
    }
}

/// The answer to a `get` that failed: `wg` reads digits only.
pub(super) fn get_error(errno: Errno) -> String {
    format!("errno={}\n\n", errno.raw_os_error())
}

/// The answer to a `set`: `wg` shows the text of what comes negative, as wireguard-go sends it.
pub(super) fn set_result(result: Result<(), Errno>) -> String {
    let errno = result.err().map_or(0, Errno::raw_os_error);
    format!("errno={}\n\n", -errno)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn written(device: &DeviceView, peers: &[PeerView]) -> String {
        let mut out = Vec::new();
        let mut reply = GetReply::new(&mut out);
        reply.device(device).unwrap();
        for peer in peers {
            reply.peer(peer).unwrap();
        }
        reply.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    /// PROTOCOL A10.7: the private key, absolute times.
    #[test]
    fn lines_stand_in_the_order_of_wireguard_go() {
        let device = DeviceView { private_key: Some(SecretKey::new(&[0xab; 32])), listen_port: 51820, fwmark: 7 };
        let peer = PeerView {
            public_key: [1; 32],
            preshared_key: Some(SecretKey::new(&[0x2f; 32])),
            endpoint: Some("[fe80::1%3]:9".parse().unwrap()),
            persistent_keepalive: 25,
            rx_bytes: u64::MAX,
            tx_bytes: 5,
            last_handshake: Some(Duration::new(1_700_000_000, 42)),
            allowed_ips: vec!["10.0.0.0/8".parse().unwrap(), "::/0".parse().unwrap()],
        };
        let expected = format!(
            "private_key={}\nlisten_port=51820\nfwmark=7\npublic_key={}\npreshared_key={}\n\
             protocol_version=1\nendpoint=[fe80::1%3]:9\nlast_handshake_time_sec=1700000000\n\
             last_handshake_time_nsec=42\ntx_bytes=5\nrx_bytes=18446744073709551615\n\
             persistent_keepalive_interval=25\nallowed_ip=10.0.0.0/8\nallowed_ip=::/0\nerrno=0\n\n",
            "ab".repeat(32),
            "01".repeat(32),
            "2f".repeat(32),
        );
        assert_eq!(written(&device, &[peer]), expected);
    }

    #[test]
    fn what_is_unset_is_left_out() {
        let unset = DeviceView { private_key: Some(SecretKey::new(&[0; 32])), ..DeviceView::default() };
        assert_eq!(written(&unset, &[]), "errno=0\n\n");
        let peer = written(&unset, &[PeerView::default()]);
        assert!(!peer.contains("endpoint="), "{peer}");
        assert!(peer.contains(&format!("preshared_key={}\n", "00".repeat(32))), "{peer}");
    }

    #[test]
    fn an_answer_larger_than_the_buffer_goes_out_in_pieces() {
        struct Pieces(Vec<usize>);
        impl Write for Pieces {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.push(bytes.len());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut pieces = Pieces(Vec::new());
        let mut reply = GetReply::new(&mut pieces);
        let peer = PeerView { allowed_ips: vec!["10.0.0.0/8".parse().unwrap(); 100_000], ..PeerView::default() };
        reply.peer(&peer).unwrap();
        assert!(reply.buffer.capacity() == BUFFER_BYTES);
        reply.finish().unwrap();
        let total: usize = pieces.0.iter().sum();
        assert!(total > 100_000 * "allowed_ip=10.0.0.0/8\n".len());
        assert!(pieces.0.iter().all(|&bytes| bytes <= BUFFER_BYTES));
    }

    #[test]
    fn a_failed_write_wipes_the_buffer_too() {
        struct Refuses;
        impl Write for Refuses {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut reply = GetReply::new(Refuses);
        reply.device(&DeviceView { private_key: Some(SecretKey::new(&[0xab; 32])), ..DeviceView::default() }).unwrap();
        assert!(!reply.buffer.is_empty());
        reply.flush().unwrap_err();
        assert!(reply.buffer.is_empty());
    }

    /// PROTOCOL A10.6: the sign.
    #[test]
    fn errors_have_the_sign_that_wg_understands() {
        assert_eq!(get_error(Errno::IO), "errno=5\n\n");
        assert_eq!(set_result(Err(Errno::INVAL)), "errno=-22\n\n");
        assert_eq!(set_result(Ok(())), "errno=0\n\n");
    }
}

//! So many bytes by TCP, both ways at once.

use super::error::{LabError, Result, What};
use super::namespace::Namespace;
use std::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// How long the other side may take to come, or to take or give the next byte.
const SILENCE: Duration = Duration::from_secs(20);
/// Bytes a read or write.
const CHUNK: usize = 16 * 1024;

/// Sends `bytes` each way at once over one TCP connection from one namespace to `to` in another; all have to arrive as
/// they were. When half of what the connecting side sends has gone, it calls `halfway`.
///
/// # Errors
/// The connection fails, or other bytes arrive.
pub fn tcp_both_ways(
    from: &Namespace,
    server: &Namespace,
    to: SocketAddr,
    bytes: usize,
    halfway: impl FnOnce() + Send,
) -> Result<()> {
    let what = format!("TCP {} → {to}", from.name());
    let listener = server.enter(|| TcpListener::bind(to))?;
    std::thread::scope(|scope| {
        let served = scope.spawn(|| exchange(&accept(&listener)?, 2, 1, bytes, || ()));
        let connect = || TcpStream::connect_timeout(&to, SILENCE);
        let sent = from.enter(connect).and_then(|stream| exchange(&stream, 1, 2, bytes, halfway).what(&what));
        let served = served.join().map_err(|_| LabError::new(&what, "its server panicked"))?;
        let served = served.what(format!("{what}, as its server sees it"));
        sent.and(served)
    })
}

fn accept(listener: &TcpListener) -> IoResult<TcpStream> {
    listener.set_nonblocking(true)?;
    let deadline = Instant::now() + SILENCE;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Writes `bytes` of pattern `mine`, and reads as many of pattern `theirs`.
fn exchange(stream: &TcpStream, mine: u8, theirs: u8, bytes: usize, halfway: impl FnOnce() + Send) -> IoResult<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let half = bytes / 2;
            write(stream, mine, 0, half)?;
            halfway();
            write(stream, mine, half, bytes)?;
            stream.shutdown(Shutdown::Write)
        });
        let read = read(stream, theirs, bytes);
        let written = writer.join().map_err(|_| Error::other("its writer panicked"))?;
        read.and(written)
    })
}

/// The byte at a place: runs of it that are lost, doubled or swapped show.
fn byte(pattern: u8, place: usize) -> u8 {
    let [low, middle, high, ..] = place.to_le_bytes();
    low.wrapping_mul(31) ^ middle.wrapping_mul(57) ^ high ^ pattern
}

fn write(mut stream: &TcpStream, pattern: u8, from: usize, to: usize) -> IoResult<()> {
    let mut place = from;
    while place < to {
        let end = to.min(place.saturating_add(CHUNK));
        let chunk: Vec<u8> = (place..end).map(|place| byte(pattern, place)).collect();
        stream.write_all(&chunk)?;
        place = end;
    }
    Ok(())
}

fn read(mut stream: &TcpStream, pattern: u8, bytes: usize) -> IoResult<()> {
    let mut buffer = [0; CHUNK];
    let mut place = 0;
    loop {
        let count = match stream.read(&mut buffer)? {
            0 if place == bytes => return Ok(()),
            0 => return Err(Error::other(format!("it ended after {place} of {bytes} bytes"))),
            count => count,
        };
        let wrong = (place..).zip(buffer.iter().take(count)).find(|(place, got)| **got != byte(pattern, *place));
        if let Some((place, _)) = wrong {
            return Err(Error::other(format!("byte {place} is not what was sent")));
        }
        place = place.saturating_add(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each side says when the other sends `sent` bytes of pattern `pattern`.
    fn told(pattern: u8, sent: usize) -> (bool, bool) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        std::thread::scope(|scope| {
            let served = scope.spawn(|| exchange(&accept(&listener).unwrap(), 2, 1, 100_000, || ()).is_ok());
            let stream = TcpStream::connect(to).unwrap();
            write(&stream, pattern, 0, sent).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            (read(&stream, 2, 100_000).is_ok(), served.join().unwrap())
        })
    }

    #[test]
    fn what_is_missing_or_wrong_shows() {
        assert_eq!(told(1, 100_000), (true, true));
        assert_eq!(told(1, 99_999), (true, false));
        assert!(!told(3, 100_000).1);
    }

    #[test]
    fn halfway_is_called_between() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let mut calls = 0;
        std::thread::scope(|scope| {
            let served = scope.spawn(|| exchange(&accept(&listener).unwrap(), 2, 1, 50_000, || ()));
            exchange(&TcpStream::connect(to).unwrap(), 1, 2, 50_000, || calls += 1).unwrap();
            served.join().unwrap().unwrap();
        });
        assert_eq!(calls, 1);
    }
}

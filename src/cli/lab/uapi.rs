//! The `wg` socket, spoken to directly: for what `wg` does not show, and for what it would not send.

use super::error::{LabError, Result, What};
use super::run::SOCKETS;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends a request (with its empty line) to the WireGuard program of an interface. Returns what it answers, to the empty
/// line that ends it.
///
/// # Errors
/// It does not answer in 5 s, or hangs up before the end.
pub fn uapi(interface: &str, request: &str) -> Result<String> {
    let path = Path::new(SOCKETS).join(format!("{interface}.sock"));
    let what = path.display().to_string();
    let mut stream = UnixStream::connect(&path).what(&what)?;
    stream.set_read_timeout(Some(PATIENCE)).what(&what)?;
    stream.write_all(request.as_bytes()).what(&what)?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while !answer.ends_with(b"\n\n") {
        let count = stream.read(&mut chunk).what(&what)?;
        if count == 0 {
            let said = String::from_utf8_lossy(&answer).into_owned();
            return Err(LabError::new(&what, format!("it hangs up in the middle: {said:?}")));
        }
        answer.extend(chunk.iter().take(count));
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The peers in an answer to `get=1`: by public key (hex), what stands there of each. (Of `allowed_ip`, the last.)
pub fn uapi_peers(answer: &str) -> HashMap<String, HashMap<String, String>> {
    let mut peers: HashMap<String, HashMap<String, String>> = HashMap::new();
    let mut current = None;
    for (key, value) in answer.lines().filter_map(|line| line.split_once('=')) {
        if key == "public_key" {
            current = Some(value.to_owned());
            peers.entry(value.to_owned()).or_default();
        } else if let Some(peer) = current.as_ref().and_then(|key| peers.get_mut(key)) {
            peer.insert(key.to_owned(), value.to_owned());
        }
    }
    peers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_told_apart() {
        let peers = uapi_peers("private_key=aa\npublic_key=bb\nrx_bytes=1\npublic_key=cc\nrx_bytes=2\nerrno=0\n\n");
        assert_eq!(peers.len(), 2);
        assert_eq!((&*peers["bb"]["rx_bytes"], &*peers["cc"]["rx_bytes"]), ("1", "2"));
    }
}

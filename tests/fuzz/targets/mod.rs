//! What is fuzzed: one body a kind of input, each a function that any bytes may be given to and that panics when a
//! property does not hold. The fuzzers (`tests/fuzz/bin`) and the ordinary test (`tests/fuzz/corpus.rs`) share them.

mod aead;
mod classify;
mod config;
mod gateway;
mod inner;
mod message;
mod noise;
mod peers_file;
mod sessions;
mod uapi;

/// One body under its name, which is also the name of its corpus and of its fuzzer.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&[u8]),
}

/// All of them.
pub(crate) const ALL: [Target; 10] = [
    Target { name: "aead", run: aead::run },
    Target { name: "classify", run: classify::run },
    Target { name: "config", run: config::run },
    Target { name: "gateway", run: gateway::run },
    Target { name: "inner", run: inner::run },
    Target { name: "message", run: message::run },
    Target { name: "noise", run: noise::run },
    Target { name: "peers_file", run: peers_file::run },
    Target { name: "sessions", run: sessions::run },
    Target { name: "uapi", run: uapi::run },
];

/// Cuts an input into choices and bytes. Past its end every number is 0 and every slice empty.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// The next `len` bytes, or as many as there are.
    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }
}

/// Changes `bytes` as the rest of `input` says: three bytes a change, where and with what.
fn edit(bytes: &mut [u8], input: &mut Input<'_>) -> bool {
    let before = bytes.to_vec();
    while !input.is_empty() && !bytes.is_empty() {
        let at = usize::from(input.u16()) % bytes.len();
        bytes[at] ^= input.byte();
    }
    bytes != before
}

//! Batches of messages, damaged between sealing and opening, through every cipher that runs here: all of them seal to the bytes
//! and give the verdicts that `portable` gives for one message after the other, and none touches what is beside the buffers.

use super::Input;
use culvert::aead::{Backend, Cipher, Job, Key, TAG_LEN};

/// The longest text, and the longest of all in one input.
const LONGEST: usize = 9000;
const ALL: usize = 64 * 1024;
/// The messages of a worker's largest batches, and some more.
const MOST: usize = 256;

/// One message of the input: ten bytes.
struct Message {
    /// Bytes of nobody before it.
    gap: usize,
    len: usize,
    key: u8,
    counter: u64,
    /// What it is opened with, the byte of its buffer that is changed meanwhile, and how.
    open_key: u8,
    open_counter: u64,
    at: usize,
    change: u8,
}

pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    let [seal_calls, open_calls] = [input.byte(), input.byte()].map(|byte| usize::from(byte) + 1);
    let mut messages = Vec::new();
    let mut all = 0;
    while !input.is_empty() && messages.len() < MOST {
        let message = Message::read(&mut input);
        all += message.len;
        if all > ALL {
            break;
        }
        messages.push(message);
    }
    let keys: Vec<Key> = (0..=u8::MAX).map(|byte| Key::new(std::array::from_fn(|n| byte ^ low(n)))).collect();
    let bytes = messages.iter().map(|message| message.gap + message.len + TAG_LEN).sum::<usize>() + 64;
    let plain: Vec<u8> = (0..bytes).map(|at| low(at * 31 + at / 256)).collect();

    let reference = &mut Backend::Portable.cipher();
    let mut sealed = plain.clone();
    assert!(seal(reference, &messages, &keys, &mut sealed, 1).iter().all(|ok| *ok));
    let mut damaged = sealed.clone();
    for (message, place) in messages.iter().zip(places(&messages)) {
        damaged[place.start + message.at] ^= message.change;
    }
    let mut opened = damaged.clone();
    let verdicts = open(reference, &messages, &keys, &mut opened, 1);

    for backend in Backend::available() {
        let cipher = &mut backend.cipher();
        let mut bytes = plain.clone();
        assert!(seal(cipher, &messages, &keys, &mut bytes, seal_calls).iter().all(|ok| *ok), "{cipher:?}");
        assert!(bytes == sealed, "{cipher:?} seals to something else");

        let mut bytes = damaged.clone();
        assert_eq!(open(cipher, &messages, &keys, &mut bytes, open_calls), verdicts, "{cipher:?}");
        let mut end = 0;
        for ((message, place), ok) in messages.iter().zip(places(&messages)).zip(&verdicts) {
            assert!(bytes[end..place.start] == plain[end..place.start], "{cipher:?} writes beside a buffer");
            let text = place.start..place.start + message.len;
            let is_zero = bytes[text.clone()].iter().all(|byte| *byte == 0);
            let as_expected = if *ok { &opened } else { &damaged };
            assert!(bytes[text.clone()] == as_expected[text] || (!ok && is_zero), "{cipher:?} opens to something else");
            end = place.end;
        }
        assert!(bytes[end..] == plain[end..], "{cipher:?} writes behind the last buffer");
    }
}

impl Message {
    fn read(input: &mut Input<'_>) -> Self {
        let len = usize::from(input.u16()) % (LONGEST + 1);
        let (gap, key, counter) = (usize::from(input.byte() % 68), input.byte(), wide(input.byte()));
        let (open_key, open_counter) = (key ^ input.byte(), counter ^ u64::from(input.byte()));
        let (at, change) = (usize::from(input.u16()) % (len + TAG_LEN), input.byte());
        Self { gap, len, key, counter, open_key, open_counter, at, change }
    }
}

fn low(number: usize) -> u8 {
    number.to_le_bytes()[0]
}

/// A counter with something in both halves.
fn wide(byte: u8) -> u64 {
    u64::from(byte).wrapping_mul(0x0101_0101_0101_0101).rotate_left(u32::from(byte))
}

/// Where each message's buffer is.
fn places(messages: &[Message]) -> impl Iterator<Item = std::ops::Range<usize>> {
    messages.iter().scan(0, |end, message| {
        let start = *end + message.gap;
        *end = start + message.len + TAG_LEN;
        Some(start..*end)
    })
}

/// `calls`: the jobs of one call.
fn seal(cipher: &mut Cipher, messages: &[Message], keys: &[Key], bytes: &mut [u8], calls: usize) -> Vec<bool> {
    let mut jobs = jobs(messages, bytes, |message| (&keys[usize::from(message.key)], message.counter));
    jobs.chunks_mut(calls).for_each(|jobs| cipher.seal(jobs));
    jobs.iter().map(|job| job.ok).collect()
}

fn open(cipher: &mut Cipher, messages: &[Message], keys: &[Key], bytes: &mut [u8], calls: usize) -> Vec<bool> {
    let mut jobs = jobs(messages, bytes, |message| (&keys[usize::from(message.open_key)], message.open_counter));
    jobs.chunks_mut(calls).for_each(|jobs| cipher.open(jobs));
    jobs.iter().map(|job| job.ok).collect()
}

fn jobs<'a>(messages: &[Message], mut bytes: &'a mut [u8], with: impl Fn(&Message) -> (&'a Key, u64)) -> Vec<Job<'a>> {
    let mut jobs = Vec::new();
    for message in messages {
        let (buffer, behind) = bytes[message.gap..].split_at_mut(message.len + TAG_LEN);
        let (key, counter) = with(message);
        jobs.push(Job::new(key, counter, buffer));
        bytes = behind;
    }
    jobs
}

//! Every backend against `portable`, over batches as a worker may make them: 1 to 256 messages of 0 to 9,000 bytes side by
//! side in one memory, aligned to nothing, split into calls at random, some of them forged.

use super::{Backend, Cipher, Job, Key, TAG_LEN, portable};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

/// The longest text.
const LONGEST: usize = 9000;

/// What happens to a message between `seal` and `open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    /// This bit of its tag is flipped.
    Tag(u8),
    /// A bit of this byte of its text is flipped, if it has one.
    Text(u16),
    OtherCounter,
    OtherKey,
}

#[derive(Clone, Debug)]
struct Message {
    len: usize,
    /// Bytes before it that are nobody's.
    gap: usize,
    /// Which of the keys.
    key: u8,
    counter: u64,
    fate: Fate,
}

#[derive(Clone, Debug)]
struct Case {
    messages: Vec<Message>,
    /// How many keys there are; each message's is one of them.
    keys: u8,
    /// Jobs of one call, in turn: to seal, and to open.
    seal_calls: Vec<usize>,
    open_calls: Vec<usize>,
    /// Of all bytes that are made up.
    seed: u64,
}

/// The case's memory, and where in it the messages' buffers are.
struct Memory<'c> {
    case: &'c Case,
    keys: Vec<Key>,
    bytes: Vec<u8>,
}

fn lengths() -> impl Strategy<Value = usize> {
    // Around the ends of blocks, of groups of them, and of what is one load.
    let edge = (0_usize..=16, -2_isize..=2).prop_map(|(block, off)| (64 * block).saturating_add_signed(off));
    let words = (0_usize..=40, -1_isize..=1).prop_map(|(word, off)| (16 * word).saturating_add_signed(off));
    prop_oneof![4 => 0..=192_usize, 4 => edge, 2 => words, 4 => 0..=1500_usize, 1 => 0..=LONGEST]
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Kept),
        1 => (0..=127_u8).prop_map(Fate::Tag),
        1 => any::<u16>().prop_map(Fate::Text),
        1 => Just(Fate::OtherCounter),
        1 => Just(Fate::OtherKey),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let counters = prop_oneof![0..=3_u64, any::<u64>(), u64::MAX - 8192..=u64::MAX, Just(0xffff_ffff), Just(1 << 32)];
    (lengths(), 0..=67_usize, any::<u8>(), counters, fates()).prop_map(|(len, gap, key, counter, fate)| Message {
        len,
        gap,
        key,
        counter,
        fate,
    })
}

/// Lengths all of their own, or all alike, as in bulk traffic.
fn messages() -> impl Strategy<Value = Vec<Message>> {
    let sizes = prop_oneof![1..=9_usize, 10..=64_usize, 65..=256_usize];
    let alike = prop_oneof![2 => Just(None), 1 => lengths().prop_map(Some)];
    (sizes, alike).prop_flat_map(move |(size, alike)| {
        prop::collection::vec(message(), size).prop_map(move |mut messages| {
            messages.iter_mut().for_each(|message| message.len = alike.unwrap_or(message.len));
            messages
        })
    })
}

fn cases() -> impl Strategy<Value = Case> {
    let calls = || prop_oneof![prop::collection::vec(1..=256_usize, 1..4), prop::collection::vec(1..=9_usize, 1..4)];
    (messages(), 1..=255_u8, calls(), calls(), any::<u64>()).prop_map(
        |(messages, keys, seal_calls, open_calls, seed)| Case { messages, keys, seal_calls, open_calls, seed },
    )
}

impl<'c> Memory<'c> {
    fn new(case: &'c Case) -> Self {
        let mut rng = fastrand::Rng::with_seed(case.seed);
        let mut random = |len| {
            let mut bytes = vec![0; len];
            rng.fill(&mut bytes);
            bytes
        };
        let keys = (0..case.keys).map(|_| Key::new(random(32).try_into().unwrap())).collect();
        let len = case.messages.iter().map(|message| message.gap + message.len + TAG_LEN).sum::<usize>() + 64;
        Self { case, keys, bytes: random(len) }
    }

    /// Whether the fate changes anything: with one key there is no other.
    fn is_forged(&self, message: &Message) -> bool {
        match message.fate {
            Fate::Kept => false,
            Fate::Tag(_) | Fate::OtherCounter => true,
            Fate::Text(_) => message.len > 0,
            Fate::OtherKey => self.keys.len() > 1,
        }
    }

    /// Where each message's buffer is.
    fn places(&self) -> Vec<std::ops::Range<usize>> {
        let mut at = 0;
        let place = |message: &Message| {
            let start = at + message.gap;
            at = start + message.len + TAG_LEN;
            start..at
        };
        self.case.messages.iter().map(place).collect()
    }

    /// Runs `run` over the messages' jobs in calls of these sizes. Returns the verdicts. `forging`: under the keys and
    /// counters of their fates.
    fn run(&mut self, forging: bool, calls: &[usize], mut run: impl FnMut(&mut [Job<'_>])) -> Vec<bool> {
        let mut jobs = Vec::new();
        let mut rest = self.bytes.as_mut_slice();
        for message in &self.case.messages {
            let (buffer, behind) = rest[message.gap..].split_at_mut(message.len + TAG_LEN);
            rest = behind;
            let fate = if forging { message.fate } else { Fate::Kept };
            let key = usize::from(message.key) + usize::from(fate == Fate::OtherKey);
            let counter = message.counter ^ u64::from(fate == Fate::OtherCounter);
            jobs.push(Job { ok: !forging, ..Job::new(&self.keys[key % self.keys.len()], counter, buffer) });
        }
        let mut left = jobs.as_mut_slice();
        for size in calls.iter().cycle() {
            let (now, later) = left.split_at_mut(left.len().min(*size));
            run(now);
            left = later;
            if left.is_empty() {
                break;
            }
        }
        jobs.iter().map(|job| job.ok).collect()
    }

    fn forge(&mut self) {
        for (message, place) in self.case.messages.iter().zip(self.places()) {
            match message.fate {
                Fate::Tag(bit) => self.bytes[place.start + message.len + usize::from(bit / 8)] ^= 1 << (bit % 8),
                Fate::Text(at) if message.len > 0 => {
                    self.bytes[place.start + usize::from(at) % message.len] ^= 1 << (at % 8);
                }
                _ => {}
            }
        }
    }
}

fn check(case: &Case, cipher: &mut Cipher) {
    let plain = Memory::new(case);
    let mut expected = Memory::new(case);
    let ok = expected.run(false, &[1], portable::seal);
    assert!(ok.iter().all(|ok| *ok));

    let mut memory = Memory::new(case);
    let ok = memory.run(false, &case.seal_calls, |jobs| cipher.seal(jobs));
    assert!(ok.iter().all(|ok| *ok));
    for (number, place) in memory.places().into_iter().enumerate() {
        assert!(memory.bytes[place.clone()] == expected.bytes[place], "message {number} is sealed to something else");
    }
    assert!(memory.bytes == expected.bytes, "sealed, and more was written");

    memory.forge();
    let came = memory.bytes.clone();
    let ok = memory.run(true, &case.open_calls, |jobs| cipher.open(jobs));
    let mut end = 0;
    for ((number, place), ok) in memory.places().into_iter().enumerate().zip(ok) {
        let message = &case.messages[number];
        assert_eq!(ok, !memory.is_forged(message), "the verdict of message {number}");
        assert!(memory.bytes[end..place.start] == plain.bytes[end..place.start], "written before message {number}");
        let text = place.start..place.start + message.len;
        let (is, was) = (&memory.bytes[text.clone()], &came[text.clone()]);
        if ok {
            assert!(*is == plain.bytes[text], "message {number} is opened to something else");
        } else {
            assert!(is == was || is.iter().all(|byte| *byte == 0), "message {number}: neither as it came nor zeros");
        }
        end = place.end;
    }
    assert!(memory.bytes[end..] == plain.bytes[end..], "written behind the last message");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_backend_is_like_portable(case in cases()) {
        for backend in Backend::available() {
            check(&case, &mut backend.cipher());
        }
    }
}

/// A worker's cipher lives long: nothing of one batch shows in the next.
#[test]
fn a_cipher_is_used_again_and_again() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for backend in Backend::available() {
        let mut cipher = backend.cipher();
        for _ in 0..50 {
            check(&cases().new_tree(&mut runner).unwrap().current(), &mut cipher);
        }
    }
}

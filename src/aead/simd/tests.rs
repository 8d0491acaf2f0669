//! The arithmetic at its extremes against long division, the lanes against each other, and whole batches against `portable`.

#![expect(clippy::cast_possible_truncation, reason = "made-up bytes")]

use super::ahead::Ahead;
use super::flight::Flight;
use super::lanes::{Group, LANES, keystream};
use super::plan::{FIRST_ITEMS, FLIGHT, Plan};
use super::poly::{self, Eight, PACKETS, Powers, Way};
use super::vector::{Block, Quads, Words};
use super::{Simd, rows, scalar};
use crate::aead::{CpuFeatures, Job, Key, TAG_LEN, portable};
use proptest::prelude::*;

/// RFC 8439, 2.5.1 and 2.8, with digits of 32 bits and nothing clever.
fn tag_by_long_division(key: &[u8; 32], text: &[u8]) -> [u8; 16] {
    let half = |n: usize| u128::from_le_bytes(key[16 * n..16 * n + 16].try_into().unwrap());
    let r = half(0) & 0x0fff_fffc_0fff_fffc_0fff_fffc_0fff_ffff;
    let mut blocks: Vec<u128> = text
        .chunks(16)
        .map(|chunk| {
            let mut block = [0; 16];
            block[..chunk.len()].copy_from_slice(chunk);
            u128::from_le_bytes(block)
        })
        .collect();
    blocks.push((text.len() as u128) << 64);
    let digits = |x: u128| [0, 32, 64, 96].map(|shift| (x >> shift) as u32);
    let mut sum = [0_u64; 5];
    for block in blocks {
        let mut product = [0_u64; 10];
        for (n, digit) in digits(block).into_iter().chain([1]).enumerate() {
            sum[n] += u64::from(digit);
        }
        carry(&mut sum);
        for (n, a) in sum.into_iter().enumerate() {
            for (m, b) in digits(r).into_iter().enumerate() {
                let x = a * u64::from(b);
                product[n + m] += x & 0xffff_ffff;
                product[n + m + 1] += x >> 32;
            }
        }
        carry(&mut product);
        // 2¹³⁰ = 5: what is above counts five times.
        while product[5..].iter().any(|digit| *digit != 0) || product[4] > 3 {
            let above: Vec<u64> =
                (4..10).map(|n| product[n] >> 2 | (product.get(n + 1).unwrap_or(&0) & 3) << 30).collect();
            product[4] &= 3;
            product[5..].fill(0);
            for (n, digit) in above.into_iter().enumerate() {
                product[n] += 5 * digit;
            }
            carry(&mut product);
        }
        sum.copy_from_slice(&product[..5]);
    }
    let p = [0xffff_fffb, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 3];
    if sum.iter().rev().ge(p.iter().rev()) {
        sum[0] += 5; // − p is + 5 − 2¹³⁰
        carry(&mut sum);
    }
    let low = (0..4).fold(0, |low, n| low | u128::from(sum[n]) << (32 * n));
    low.wrapping_add(half(1)).to_le_bytes()
}

fn carry(digits: &mut [u64]) {
    for n in 1..digits.len() {
        digits[n] += digits[n - 1] >> 32;
        digits[n - 1] &= 0xffff_ffff;
    }
}

/// All ways to the tags of up to eight texts, which are sorted.
fn check_tags(texts: &[Vec<u8>], keys: &[[u8; 32]]) {
    let expected: Vec<[u8; 16]> = texts.iter().zip(keys).map(|(text, key)| tag_by_long_division(key, text)).collect();
    for ((text, key), expected) in texts.iter().zip(keys).zip(&expected) {
        assert_eq!(scalar::tag(key, text), *expected, "scalar, {} bytes, key {key:x?}", text.len());
    }
    if !CpuFeatures::detect().avx512 {
        return;
    }
    // The second group has the same in another order, so that none passes for the other.
    let [mut one, mut other] = [texts.to_vec(), texts.iter().rev().cloned().collect()];
    let lengths =
        [&one, &other].map(|texts| Quads(std::array::from_fn(|n| texts.get(n).map_or(0, |text| text.len() as u64))));
    let groups = [eight(&mut one), eight(&mut other)];
    let [first, second] = [0, 1].map(|n| Eight { count: texts.len(), texts: &groups[n], lengths: &lengths[n] });
    let mut first_keys = [[0; 32]; PACKETS];
    first_keys[..texts.len()].copy_from_slice(&keys[..texts.len()]);
    let mut second_keys = first_keys;
    second_keys[..texts.len()].reverse();
    for way in [Way::Across, Way::Inside] {
        let mut powers = Powers::EMPTY;
        // SAFETY: the features are there.
        let tags = unsafe { poly::tags(&first, &first_keys, way, &mut powers) };
        for (n, expected) in expected.iter().enumerate() {
            assert_eq!(tags[n], *expected, "{way:?}, {} bytes, key {:x?}", texts[n].len(), keys[n]);
        }
    }
    // SAFETY: the features are there.
    let tags = unsafe { poly::tags_of_two(&[first, second], [&first_keys, &second_keys]) };
    for (n, expected) in expected.iter().enumerate() {
        let both = [tags[0][n], tags[1][texts.len() - 1 - n]];
        assert_eq!(both, [*expected; 2], "of two, {} bytes, key {:x?}", texts[n].len(), keys[n]);
    }
}

/// As Poly1305 takes them: those that are not there are empty.
fn eight(texts: &mut [Vec<u8>]) -> [&mut [u8]; PACKETS] {
    let mut texts = texts.iter_mut();
    std::array::from_fn(|_| texts.next().map_or(&mut [][..], |text| &mut text[..]))
}

fn poly_key(r: u128, s: u128) -> [u8; 32] {
    [r.to_le_bytes(), s.to_le_bytes()].concat().try_into().unwrap()
}

/// By hand: with r = 1 the sum is that of the blocks, modulo 2¹²⁸.
#[test]
fn the_oracle_adds_up() {
    assert_eq!(tag_by_long_division(&poly_key(1, 5), &[]), 5_u128.to_le_bytes());
    assert_eq!(tag_by_long_division(&poly_key(1, 5), &[7]), (5 + 7 + (1_u128 << 64)).to_le_bytes());
}

/// With r = 1 the sum is that of the blocks: chosen so that it ends from p − 6 to p + 8.
#[test]
fn tags_whose_sum_is_near_p() {
    for blocks in (7_u128..150).step_by(4) {
        for k in -6_i128..=8 {
            // blocks + 1 times 2¹²⁸ is a multiple of 2¹³⁰, so of 5.
            let known = (blocks + 1) / 4 * 5 + ((blocks * 16) << 64);
            // Three blocks of 2¹²⁸ − 1 and one more make 2¹³⁰ − 5 + k − known.
            let last = 0_u128.wrapping_sub(5 + known).wrapping_add_signed(k).wrapping_add(3);
            let mut text = vec![0; blocks as usize * 16];
            text[..48].fill(0xff);
            text[48..64].copy_from_slice(&last.to_le_bytes());
            let keys = [0, 1, u128::MAX, u128::MAX - 3].map(|s| poly_key(1, s));
            check_tags(&vec![text; 4], &keys);
        }
    }
}

#[test]
fn tags_at_the_extremes_of_keys_and_blocks() {
    let r_most = 0x0fff_fffc_0fff_fffc_0fff_fffc_0fff_ffff;
    for r in [0, 1, 4, 5, r_most, r_most - 8, 0x0fff_ffff, 1 << 100, u128::MAX] {
        for (round, length) in (0..200).chain([255, 256, 257, 511, 512, 513, 1024, 1420, 4096]).enumerate() {
            let byte = [0, 0xff, 0xfe, 0xfb, 0x80][round % 5];
            let s = [0, u128::MAX, 1 << 64][round % 3];
            let shorter = if round % 2 == 0 { 0 } else { 37 };
            let texts: Vec<Vec<u8>> =
                (0..PACKETS).map(|n| vec![byte; usize::saturating_sub(length, shorter * n)]).collect();
            check_tags(&texts[..1 + round % PACKETS], &[poly_key(r, s); PACKETS]);
        }
    }
}

#[test]
fn lanes_and_rows_make_the_same_blocks() {
    if !CpuFeatures::detect().avx512 {
        return;
    }
    let bytes = |n: usize| std::array::from_fn::<u8, 32, _>(|j| (n * 71 + j * 29 + 3) as u8);
    let keys: [[u8; 32]; 2 * LANES] = std::array::from_fn(bytes);
    let nonces: [[u8; 12]; 2 * LANES] = std::array::from_fn(|n| bytes(n + 99)[..12].try_into().unwrap());
    let counters: [u32; 2 * LANES] = std::array::from_fn(|n| (n as u32).wrapping_mul(0x1234_5678).wrapping_sub(3));
    let group = |first: usize| {
        let words = |word: usize| {
            Words(std::array::from_fn(|n| {
                u32::from_le_bytes(nonces[first + n][4 * word..4 * word + 4].try_into().unwrap())
            }))
        };
        let mut group = Group::EMPTY;
        // SAFETY: the features are there.
        unsafe { group.set(&std::array::from_fn(|n| &keys[first + n]), &[words(0), words(1), words(2)]) };
        group
    };
    let groups = [group(0), group(LANES)];
    let count = [0, LANES].map(|first| Words(std::array::from_fn(|n| counters[first + n])));
    let mut blocks = [[Block([0; 64]); LANES]; 2];
    // SAFETY: the features are there.
    unsafe { keystream([&groups[0], &groups[1]], [&count[0], &count[1]], &mut blocks, [None; 2], &mut []) };
    let mut alone = [[Block([0; 64]); LANES]; 2];
    // SAFETY: the features are there.
    unsafe { keystream([&groups[1]], [&count[1]], &mut alone, [None], &mut []) };
    for n in 0..2 * LANES {
        for most in 1..=rows::MOST {
            let mut row = [Block([0; 64]); rows::MOST];
            // Those before wrap around, as the counter of a long message never does.
            let first = counters[n].wrapping_sub(most as u32 - 1);
            // SAFETY: the features are there.
            unsafe { rows::keystream(&keys[n], &nonces[n], first, most, &mut row) };
            assert_eq!(row[most - 1].0, blocks[n / LANES][n % LANES].0, "lane {n}, block {most} of the call");
        }
    }
    assert!(alone[0].iter().zip(&blocks[1]).all(|(alone, block)| alone.0 == block.0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Each block of each packet once; the blocks 0 first.
    #[test]
    fn the_plan_gives_each_block_once(mut lengths in prop::collection::vec(lengths(), 1..=FLIGHT)) {
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        let blocks = std::array::from_fn(|n| lengths.get(n).map_or(0, |length| 1 + length.div_ceil(64) as u32));
        let mut plan = Plan::new(lengths.len(), blocks);
        let mut given: Vec<Vec<u32>> = lengths.iter().map(|length| vec![0; 1 + length.div_ceil(64)]).collect();
        let mut items = 0;
        while let Some(item) = plan.next() {
            for (place, number) in item.packets.iter().zip(item.blocks.0) {
                if let Some(times) = given[usize::from(*place)].get_mut(number as usize) {
                    *times += 1;
                }
            }
            items += 1;
            if items == FIRST_ITEMS {
                prop_assert!(given.iter().all(|times| times[0] == 1));
            }
        }
        prop_assert!(given.iter().flatten().all(|times| *times == 1));
    }
}

fn lengths() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..200_usize, 2 => 500..600_usize, 2 => 1300..1500_usize, 1 => 0..9000_usize]
}

/// One message between guard bytes.
#[derive(Clone, Debug)]
struct Message {
    key: [u8; 32],
    counter: u64,
    length: usize,
    /// Bytes before it, so that all alignments come.
    gap: usize,
    /// What is done to it before it is opened: a byte that is changed, from its end.
    forged: Option<usize>,
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    let counts = prop_oneof![4 => 1..40_usize, 1 => 40..=256_usize];
    // All alike, nearly alike, or mixed.
    (counts, lengths(), 0..3_usize).prop_flat_map(|(count, base, mix)| {
        let length = match mix {
            0 => Just(base).boxed(),
            1 => (base.saturating_sub(80)..=base).boxed(),
            _ => lengths().boxed(),
        };
        let forged = prop_oneof![3 => Just(None), 1 => (0..10_000_usize).prop_map(Some)];
        let message = (any::<[u8; 32]>(), any::<u64>(), length, 16..100_usize, forged)
            .prop_map(|(key, counter, length, gap, forged)| Message { key, counter, length, gap, forged });
        prop::collection::vec(message, count)
    })
}

/// The buffers of the messages in one piece of memory, with guards between.
fn buffers<'a>(memory: &'a mut [u8], messages: &[Message]) -> Vec<&'a mut [u8]> {
    let mut rest = memory;
    let mut buffers = Vec::new();
    for message in messages {
        let (_, behind) = rest.split_at_mut(message.gap);
        let (buffer, behind) = behind.split_at_mut(message.length + TAG_LEN);
        buffers.push(buffer);
        rest = behind;
    }
    buffers
}

fn run(memory: &mut [u8], messages: &[Message], keys: &[Key], run: impl FnOnce(&mut [Job<'_>])) -> Vec<bool> {
    let mut jobs: Vec<Job<'_>> = buffers(memory, messages)
        .into_iter()
        .zip(messages)
        .zip(keys)
        .map(|((buffer, message), key)| Job::new(key, message.counter, buffer))
        .collect();
    run(&mut jobs);
    jobs.iter().map(|job| job.ok).collect()
}

/// Nobody seals or opens them.
#[test]
fn what_finds_no_place_in_a_flight_is_refused() {
    let key = Key::new([1; 32]);
    for shortest_first in [false, true] {
        let mut buffers: Vec<Vec<u8>> = (0..FLIGHT + 2).rev().map(|n| vec![0; TAG_LEN + n]).collect();
        if shortest_first {
            buffers.reverse();
        }
        let mut jobs: Vec<_> = buffers.iter_mut().map(|buffer| Job { ok: true, ..Job::new(&key, 0, buffer) }).collect();
        Flight::new(Ahead::new(&[])).take(&mut jobs);
        let taken = jobs.iter().take_while(|job| job.ok).count();
        assert_eq!((taken, jobs.iter().filter(|job| job.ok).count()), (FLIGHT, FLIGHT));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Seals and opens as `portable` does, byte for byte, in all of the memory around the messages too.
    #[test]
    fn batches_are_like_the_portable_ones(messages in messages(), seed in any::<u8>()) {
        let Some(mut simd) = Simd::new() else { return Ok(()) };
        let size: usize = messages.iter().map(|message| message.gap + message.length + TAG_LEN).sum();
        let mut memory: Vec<u8> = (0..size + 100).map(|n| (n * 7 + n / 251) as u8 ^ seed).collect();
        let keys: Vec<Key> = messages.iter().map(|message| Key::new(message.key)).collect();
        let mut expected = memory.clone();

        let right = run(&mut expected, &messages, &keys, portable::seal);
        let ok = run(&mut memory, &messages, &keys, |jobs| simd.seal(jobs));
        prop_assert_eq!(ok, right);
        prop_assert!(memory == expected, "sealed otherwise");

        for (buffer, message) in buffers(&mut memory, &messages).into_iter().zip(&messages) {
            if let Some(at) = message.forged {
                let at = buffer.len() - 1 - at % buffer.len();
                buffer[at] ^= 1 << (at % 8);
            }
        }
        expected.clone_from(&memory);
        let right = run(&mut expected, &messages, &keys, portable::open);
        let ok = run(&mut memory, &messages, &keys, |jobs| simd.open(jobs));
        prop_assert!(right.iter().zip(&messages).all(|(ok, message)| *ok == message.forged.is_none()));
        prop_assert_eq!(ok, right);
        // What is refused may be zeros too: libipsec-mb, which takes long single messages, leaves those.
        let came = buffers(&mut expected, &messages);
        for ((buffer, came), message) in buffers(&mut memory, &messages).into_iter().zip(came).zip(&messages) {
            if message.forged.is_some() && buffer.iter().all(|byte| *byte == 0) {
                buffer.copy_from_slice(came);
            }
        }
        prop_assert!(memory == expected, "opened otherwise, or touched what is forged");
    }
}

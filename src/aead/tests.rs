//! Every backend of this build against known answers, against `portable`, and against what it must refuse.

#![expect(clippy::cast_possible_truncation, reason = "made-up bytes")]

use super::{Backend, Batches, ChooseError, CpuFeatures, Job, Key, Lack, SelfTestError, TAG_LEN, portable, self_test};
use proptest::prelude::*;

/// Whether this build has it.
const SIMD: bool = cfg!(target_arch = "x86_64");

/// RFC 8439, section 2.8.2, with WireGuard's form of nonce and no associated data; the answer is from OpenSSL 3.0.
#[test]
fn the_sunscreen_message() {
    let text = b"Ladies and Gentlemen of the class of '99: \
If I could offer you only one tip for the future, sunscreen would be it.";
    let sealed = "a479cb54628946d6f4042a8e384ef4bd2fbc7330b8be55eb2d8dc18aaa51d66a8ec1f8d3619a258db0ac5695\
6015b7b4937e9b8e6aa957b3dc0214d803d77660aabc913092971da8f207171ce7843608162e2e759d8efc25d8d0936990af63c820ba87e8a955\
b5c8274ef7d10f6fafd04647fa6775577a1a250dcc2df37e95e46c4a";
    let key = Key::new(std::array::from_fn(|j| 0x80 + j as u8));
    let counter = u64::from_le_bytes([0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47]);
    for mut cipher in Backend::available().map(Backend::cipher) {
        let mut buffer = text.to_vec();
        buffer.extend([0xff; TAG_LEN]);
        let mut jobs = [Job::new(&key, counter, &mut buffer)];
        cipher.seal(&mut jobs);
        assert!(jobs[0].ok);
        assert_eq!(hex(&buffer), sealed);
    }
}

#[test]
fn names_are_chosen_or_refused_with_a_reason() {
    let fastest = Backend::available().next().unwrap();
    assert_eq!(Backend::choose("auto"), Ok(fastest));
    for backend in Backend::ALL {
        match backend.lack_on(CpuFeatures::detect()) {
            None => assert_eq!(Backend::choose(backend.name()), Ok(backend)),
            Some(lack) => assert_eq!(
                Backend::choose(backend.name()),
                Err(ChooseError::Lacks { backend: backend.name(), lack, instead: fastest.name() })
            ),
        }
    }
    assert_eq!(Backend::choose("Portable"), Err(ChooseError::Unknown("Portable".into())));
}

/// Each CPU that there is to hide: the choice falls back, what is named and cannot run is refused with the mend, and what
/// is chosen works.
#[test]
fn a_cpu_without_something_falls_back() {
    let ipsec_mb = Backend::IpsecMb.lack_on(CpuFeatures { avx512: true, aes: true }) != Some(Lack::Build);
    for (avx512, aes) in [(false, false), (false, true), (true, false), (true, true)] {
        let cpu = CpuFeatures { avx512, aes };
        let expected: Vec<Backend> = [(Backend::Simd, avx512 && SIMD), (Backend::IpsecMb, aes && ipsec_mb)]
            .into_iter()
            .filter_map(|(backend, runs)| runs.then_some(backend))
            .chain([Backend::Portable])
            .collect();
        assert_eq!(Backend::available_on(cpu).collect::<Vec<_>>(), expected);
        assert_eq!(Backend::choose_on("auto", cpu), Ok(expected[0]));
        assert_eq!(Backend::choose_on("portable", cpu), Ok(Backend::Portable));
        if expected.iter().all(|backend| Backend::available().any(|runs| runs == *backend)) {
            assert_eq!(expected[0].self_test(), Ok(()));
        }
    }
    let old = CpuFeatures { avx512: false, aes: false };
    if SIMD {
        assert_eq!(
            Backend::choose_on("simd", old).unwrap_err().to_string(),
            "[crypto] backend `simd`: this CPU has no AVX-512 with IFMA and VBMI2. Leave the key out, which here means \
             `portable`, or name that"
        );
    }
    if ipsec_mb {
        assert_eq!(
            Backend::choose_on("ipsec-mb", old).unwrap_err().to_string(),
            "[crypto] backend `ipsec-mb`: this CPU has no SSE4.2, AES and PCLMULQDQ. Leave the key out, which here \
             means `portable`, or name that"
        );
    }
}

#[test]
fn the_self_test_passes_what_works() {
    for backend in Backend::available() {
        assert_eq!(backend.self_test(), Ok(()));
    }
}

/// A pair of functions as a cipher.
struct Pair(fn(&mut [Job<'_>]), fn(&mut [Job<'_>]));

impl Batches for Pair {
    fn seal(&mut self, jobs: &mut [Job<'_>]) {
        self.0(jobs);
    }

    fn open(&mut self, jobs: &mut [Job<'_>]) {
        self.1(jobs);
    }
}

/// Faults that a backend might have, each of which the self-test finds.
#[test]
fn the_self_test_finds_faults() {
    fn seal_with_the_first_key(jobs: &mut [Job<'_>]) {
        let first = jobs[0].key;
        jobs.iter_mut().for_each(|job| job.key = first);
        portable::seal(jobs);
    }
    fn seal_without_the_high_half_of_the_counter(jobs: &mut [Job<'_>]) {
        jobs.iter_mut().for_each(|job| job.counter &= 0xffff_ffff);
        portable::seal(jobs);
    }
    fn seal_all_but_the_33rd(jobs: &mut [Job<'_>]) {
        portable::seal(jobs);
        if let Some(job) = jobs.get_mut(32) {
            job.ok = false;
        }
    }
    fn open_all(jobs: &mut [Job<'_>]) {
        portable::open(jobs);
        jobs.iter_mut().for_each(|job| job.ok = true);
    }
    fn open_none(jobs: &mut [Job<'_>]) {
        jobs.iter_mut().for_each(|job| job.ok = false);
    }
    fn open_all_or_none(jobs: &mut [Job<'_>]) {
        portable::open(jobs);
        let all = jobs.iter().all(|job| job.ok);
        jobs.iter_mut().for_each(|job| job.ok = all);
    }
    fn leave_plaintext(jobs: &mut [Job<'_>]) {
        portable::open(jobs);
        for job in jobs {
            if !job.ok {
                // The keystream comes out of sealing the ciphertext again.
                portable::seal(std::slice::from_mut(job));
                job.ok = false;
            }
        }
    }
    assert!(matches!(self_test::run(&mut Pair(seal_with_the_first_key, portable::open)), Err(SelfTestError::Seal(_))));
    assert_eq!(
        self_test::run(&mut Pair(seal_without_the_high_half_of_the_counter, portable::open)),
        Err(SelfTestError::Seal(16))
    );
    assert_eq!(self_test::run(&mut Pair(seal_all_but_the_33rd, portable::open)), Err(SelfTestError::Seal(0)));
    assert!(matches!(self_test::run(&mut Pair(portable::seal, open_all)), Err(SelfTestError::Forged(_))));
    assert!(matches!(self_test::run(&mut Pair(portable::seal, open_none)), Err(SelfTestError::Open(_))));
    assert!(matches!(self_test::run(&mut Pair(portable::seal, open_all_or_none)), Err(SelfTestError::Open(_))));
    assert!(matches!(self_test::run(&mut Pair(portable::seal, leave_plaintext)), Err(SelfTestError::Forged(_))));
}

#[test]
fn buffers_without_room_for_a_tag_are_refused() {
    let key = Key::new([7; 32]);
    for mut cipher in Backend::available().map(Backend::cipher) {
        for len in 0..TAG_LEN {
            let mut buffer = vec![0x55; len];
            let mut jobs = [Job { ok: true, ..Job::new(&key, 1, &mut buffer) }];
            cipher.open(&mut jobs);
            assert!(!jobs[0].ok, "opened {len} bytes");
            jobs[0].ok = true;
            cipher.seal(&mut jobs);
            assert!(!jobs[0].ok, "sealed {len} bytes");
            assert_eq!(buffer, vec![0x55; len]);
        }
        cipher.seal(&mut []);
        cipher.open(&mut []);
    }
}

#[test]
fn a_bit_flipped_anywhere_is_refused() {
    let key = Key::new([9; 32]);
    for mut cipher in Backend::available().map(Backend::cipher) {
        let mut sealed = vec![0xa5; 100 + TAG_LEN];
        cipher.seal(&mut [Job::new(&key, 3, &mut sealed)]);
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1 << (at % 8);
            let came = forged.clone();
            let mut jobs = [Job::new(&key, 3, &mut forged)];
            cipher.open(&mut jobs);
            assert!(!jobs[0].ok, "byte {at}");
            assert!(forged == came || forged.iter().all(|&byte| byte == 0), "byte {at}: neither as it came nor zeros");
        }
    }
}

#[test]
fn debug_shows_no_key() {
    let key = Key::new([0xab; 32]);
    let shown = format!("{:?} {:?}", key, Job::new(&key, 0, &mut []));
    assert!(shown.contains("hidden") && !shown.contains("171") && !shown.to_lowercase().contains("ab, "), "{shown}");
}

#[derive(Clone, Debug)]
struct Message {
    key: [u8; 32],
    counter: u64,
    text: Vec<u8>,
}

fn message() -> impl Strategy<Value = Message> {
    let text = prop_oneof![prop::collection::vec(any::<u8>(), 0..300), prop::collection::vec(any::<u8>(), 1300..2000)];
    (any::<[u8; 32]>(), any::<u64>(), text).prop_map(|(key, counter, text)| Message { key, counter, text })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A batch gives what its messages give one by one in `portable`; it opens again, and with another key or counter
    /// it does not.
    #[test]
    fn batches_are_like_single_messages(messages in prop::collection::vec(message(), 0..40)) {
        let keys: Vec<Key> = messages.iter().map(|message| Key::new(message.key)).collect();
        let plain: Vec<Vec<u8>> =
            messages.iter().map(|message| [message.text.as_slice(), &[0xee; TAG_LEN]].concat()).collect();
        let mut expected = plain.clone();
        for ((key, message), buffer) in keys.iter().zip(&messages).zip(&mut expected) {
            portable::seal(&mut [Job::new(key, message.counter, buffer)]);
        }
        for mut cipher in Backend::available().map(Backend::cipher) {
            let mut buffers = plain.clone();
            let mut jobs: Vec<Job<'_>> = keys.iter().zip(&messages).zip(&mut buffers)
                .map(|((key, message), buffer)| Job::new(key, message.counter, buffer)).collect();
            cipher.seal(&mut jobs);
            prop_assert!(jobs.iter().all(|job| job.ok));
            prop_assert_eq!(&buffers, &expected);

            // A third each: right, wrong counter, wrong key.
            let mut jobs: Vec<Job<'_>> = messages.iter().zip(&mut buffers).enumerate()
                .map(|(n, (message, buffer))| {
                    let wrong_key = &keys[(n + 1) % keys.len()];
                    let wrong = n % 3 == 2 && wrong_key.bytes() != keys[n].bytes();
                    let key = if wrong { wrong_key } else { &keys[n] };
                    Job::new(key, message.counter.wrapping_add(u64::from(n % 3 == 1)), buffer)
                }).collect();
            cipher.open(&mut jobs);
            for (n, job) in jobs.iter().enumerate() {
                let right = n % 3 == 0 || (n % 3 == 2 && job.key.bytes() == keys[n].bytes());
                prop_assert_eq!(job.ok, right);
                if right {
                    prop_assert_eq!(&job.buffer[..messages[n].text.len()], messages[n].text.as_slice());
                }
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

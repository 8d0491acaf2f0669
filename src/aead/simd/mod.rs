//! The backend for many packets at once: AVX-512, with a block of ChaCha20 or a packet of Poly1305 in each lane.
//!
//! [`Simd`] is all that is seen of it. A flight of up to 32 packets is sorted ([`flight`]) and its blocks are given lanes
//! ([`plan`]); [`batch`] makes the key streams ([`lanes`]) and the tags ([`poly`], by [`across`] or [`inside`], over [`field`]).
//! Few packets go one by one ([`single`], [`rows`], [`scalar`]), long ones of them through libipsec-mb. What is here asks for
//! CPU features; that they are there, [`Simd::new`] has seen.

mod across;
mod ahead;
mod batch;
mod field;
mod flight;
mod inside;
mod lanes;
mod plan;
mod poly;
mod rows;
mod scalar;
mod single;
#[cfg(test)]
mod tests;
mod vector;

use super::backend::{CpuFeatures, IpsecMb};
use super::{Job, TAG_LEN};
use ahead::Ahead;
use core::slice;
use flight::Flight;
use plan::FLIGHT;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// What one worker needs to seal and open. Its memory holds secrets, and is zeroed on drop.
///
/// # Invariants
/// There is one only where the CPU has AVX-512 F, BW, DQ, VL, IFMA and VBMI2, and BMI2.
pub(super) struct Simd {
    batch: batch::Scratch,
    single: single::Scratch,
    /// Faster for one message of more than [`SHORT`] bytes, where it is in the build.
    ipsec_mb: Option<Box<IpsecMb>>,
}

/// Up to here messages go one by one; one more if all are short.
const FEW: usize = 3;

/// Up to here one message alone is sealed here, not by libipsec-mb. Bytes, with the tag.
const SHORT: usize = 192 + TAG_LEN;

impl Simd {
    /// Nothing on a CPU that lacks one of its features. Allocates.
    pub(super) fn new() -> Option<Box<Self>> {
        // INVARIANT: asked here.
        CpuFeatures::detect().avx512.then(|| {
            Box::new(Self { batch: batch::Scratch::EMPTY, single: single::Scratch::EMPTY, ipsec_mb: IpsecMb::new() })
        })
    }

    /// See [`super::Cipher::seal`].
    pub(super) fn seal(&mut self, jobs: &mut [Job<'_>]) {
        let mut rest = jobs;
        while !rest.is_empty() {
            let (jobs, behind) = rest.split_at_mut(flight(rest));
            if few(jobs) {
                jobs.iter_mut().for_each(|job| self.seal_one(job));
            } else {
                let mut flight = Flight::new(Ahead::new(&[]));
                flight.take(jobs);
                let mut plan = flight.plan();
                // SAFETY: by the type's invariant the CPU has these features.
                unsafe { self.batch.seal(&mut flight, &mut plan) }
            }
            rest = behind;
        }
    }

    /// See [`super::Cipher::open`].
    pub(super) fn open(&mut self, jobs: &mut [Job<'_>]) {
        Ahead::new(&jobs[..slow_flight(jobs)]).ask(usize::MAX);
        let mut rest = jobs;
        while !rest.is_empty() {
            let (jobs, behind) = rest.split_at_mut(flight(rest));
            if few(jobs) {
                jobs.iter_mut().for_each(|job| self.open_one(job));
            } else {
                let mut flight = Flight::new(Ahead::new(&behind[..slow_flight(behind)]));
                flight.take(jobs);
                let mut plan = flight.plan();
                // SAFETY: by the type's invariant the CPU has these features.
                unsafe { self.batch.open(&mut flight, &mut plan) }
            }
            rest = behind;
        }
    }

    fn seal_one(&mut self, job: &mut Job<'_>) {
        match &mut self.ipsec_mb {
            Some(ipsec_mb) if job.buffer.len() > SHORT => ipsec_mb.seal(slice::from_mut(job)),
            // SAFETY: by the type's invariant the CPU has these features.
            _ => unsafe { self.single.seal(job) },
        }
    }

    fn open_one(&mut self, job: &mut Job<'_>) {
        match &mut self.ipsec_mb {
            Some(ipsec_mb) if job.buffer.len() > SHORT => ipsec_mb.open(slice::from_mut(job)),
            // SAFETY: by the type's invariant the CPU has these features.
            _ => unsafe { self.single.open(job) },
        }
    }
}

impl Drop for Simd {
    fn drop(&mut self) {
        self.batch.zeroize();
        self.single.zeroize();
    }
}

/// How many jobs make the next flight. Half or a quarter of the most when the texts are long: the first-level cache then
/// holds them from their ciphers to their tags, with room for what else runs on the core.
fn flight(jobs: &[Job<'_>]) -> usize {
    let most = jobs.len().min(FLIGHT);
    let bytes: usize = jobs[..most].iter().map(|job| job.buffer.len()).sum();
    match bytes >> 10 {
        ..12 => most,
        12..24 => most.min(FLIGHT / 2),
        _ => most.min(FLIGHT / 4),
    }
}

/// The same of jobs whose texts are long enough that it pays to ask the cache for them ahead; 0 for others.
fn slow_flight(jobs: &[Job<'_>]) -> usize {
    let next = flight(jobs);
    if next < jobs.len().min(FLIGHT) { next } else { 0 }
}

/// Whether lanes would stay empty too long.
fn few(jobs: &[Job<'_>]) -> bool {
    jobs.len() <= FEW || (jobs.len() == FEW + 1 && jobs.iter().all(|job| job.buffer.len() <= SHORT))
}

/// Whether two tags are equal, in constant time.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "halves are meant")]
fn equal(a: &[u8; TAG_LEN], b: &[u8; TAG_LEN]) -> bool {
    let differs = u128::from_ne_bytes(*a) ^ u128::from_ne_bytes(*b);
    (differs as u64 | (differs >> 64) as u64).ct_eq(&0).into()
}

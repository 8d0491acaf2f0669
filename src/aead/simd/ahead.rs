//! Texts to open, asked of the cache while those before them are opened: what has just been received is in the third level at best.

use crate::aead::Job;
use crate::queue::prefetch_read;

/// Bytes that a cache knows as one.
const LINE: usize = 64;

/// What the cache has not been asked for yet, line by line.
pub(super) struct Ahead<'a> {
    jobs: &'a [Job<'a>],
    /// In the first of them, in bytes.
    at: usize,
}

impl<'a> Ahead<'a> {
    /// All texts of these jobs.
    #[inline]
    pub(super) fn new(jobs: &'a [Job<'a>]) -> Self {
        Self { jobs, at: 0 }
    }

    /// Asks for the next `lines`, if there are so many.
    #[inline]
    pub(super) fn ask(&mut self, lines: usize) {
        self.take(lines).for_each(|byte| prefetch_read(byte));
    }
}

impl<'a> Iterator for Ahead<'a> {
    type Item = &'a u8;

    #[inline]
    fn next(&mut self) -> Option<&'a u8> {
        loop {
            let (job, behind) = self.jobs.split_first()?;
            if let Some(byte) = job.buffer.get(self.at) {
                self.at += LINE;
                return Some(byte);
            }
            (self.jobs, self.at) = (behind, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Ahead;
    use crate::aead::{Job, Key};

    #[test]
    fn each_line_of_each_text_once() {
        let key = Key::new([0; 32]);
        let mut buffers: Vec<Vec<u8>> = [130, 0, 64, 1].into_iter().map(|len| vec![0; len]).collect();
        let starts: Vec<_> = buffers.iter().map(|buffer| buffer.as_ptr()).collect();
        let jobs: Vec<_> = buffers.iter_mut().map(|buffer| Job::new(&key, 0, buffer)).collect();
        let mut ahead = Ahead::new(&jobs);
        let lines: Vec<_> = ahead.by_ref().take(2).chain(Ahead::new(&jobs).skip(2)).map(std::ptr::from_ref).collect();
        let of = |text: usize, line: usize| starts[text].wrapping_add(64 * line);
        assert_eq!(lines, [of(0, 0), of(0, 1), of(0, 2), of(2, 0), of(3, 0)]);
        ahead.ask(1);
        assert_eq!(ahead.next().map(std::ptr::from_ref), Some(of(2, 0)));
        ahead.ask(usize::MAX);
        assert_eq!(ahead.next(), None);
    }
}

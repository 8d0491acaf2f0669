//! Where secrets come from.

/// Fills the slice with fresh random bytes from a cryptographic source. Tests pass what they like.
pub type Random<'a> = &'a mut dyn FnMut(&mut [u8]);

/// Random bytes from the kernel (`getrandom(2)`), as [`Random`] wants them. Blocks only before the kernel's pool is
/// ready, early at boot.
///
/// # Panics
/// If the kernel gives none: no key may be made then.
pub fn os_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the kernel gives no random bytes");
}

//! Points between two loads or stores, where a test may let the other side work; nothing outside of tests.

/// The gateway does nothing here.
#[cfg(not(test))]
#[inline(always)]
pub(super) fn point() {}

#[cfg(test)]
pub(super) use hook::{clear, point, set};

#[cfg(test)]
mod hook {
    use std::cell::RefCell;

    type Hook = Box<dyn FnMut()>;

    std::thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    /// Lets `hook` run at every point that this thread passes, the hook's own aside.
    pub(in super::super) fn set(hook: impl FnMut() + 'static) {
        HOOK.set(Some(Box::new(hook)));
    }

    /// No hook any more.
    pub(in super::super) fn clear() {
        HOOK.set(None);
    }

    pub(in super::super) fn point() {
        if let Some(mut hook) = HOOK.take() {
            hook();
            HOOK.set(Some(hook));
        }
    }
}

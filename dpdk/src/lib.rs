//! Raw declarations of the installed libdpdk (22.11 or later), made by bindgen at build time; and, on x86, of the
//! libipsec-mb (1.3 or later) that comes with it.
//!
//! Nothing here is safe or documented beyond what DPDK's headers say; `culvert::dpdk`, and `culvert::aead` for
//! libipsec-mb, are the places that name this crate. DPDK's static inline functions are real calls here (`wrap_static_fns`): fine once a
//! burst, not once a packet.
#![no_std]

mod bindings {
    #![allow(
        clippy::all,
        dead_code,
        missing_docs,
        non_camel_case_types,
        non_snake_case,
        non_upper_case_globals,
        rustdoc::all,
        unsafe_op_in_unsafe_fn,
        clippy::undocumented_unsafe_blocks
    )]
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use bindings::*;

/// Intel's multi-buffer crypto library. Its inline functions are macros over the manager's function pointers.
#[cfg(target_arch = "x86_64")]
pub mod ipsec_mb {
    #![allow(
        clippy::all,
        dead_code,
        missing_docs,
        non_camel_case_types,
        non_snake_case,
        non_upper_case_globals,
        rustdoc::all
    )]
    include!(concat!(env!("OUT_DIR"), "/ipsec_mb.rs"));
}

//! `culvert setup`: a first configuration from what is found and what is said. It binds nothing and starts nothing.

mod named;
mod proposal;

use super::new_files::{NewFile, WriteError, folder_of, write_all};
use super::nic::{Login, Nic, kernel_has_addresses};
use super::system::System;
use crate::config::keys::to_base64;
use ipnet::IpNet;
use named::Named;
use proposal::Proposal;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// How `culvert setup` is called.
#[derive(Clone, Debug, Default)]
pub struct SetupOptions {
    /// The file to write; `None`: it is printed.
    pub output: Option<PathBuf>,
    /// The device that tunnels come in by: a PCI address, an interface of the kernel's, or a vdev with its arguments.
    pub outer: Option<String>,
    /// The device of the plain packets.
    pub inner: Option<String>,
    /// The gateway's addresses there.
    pub outer_addresses: Vec<IpNet>,
    /// Those on the inner side.
    pub inner_addresses: Vec<IpNet>,
    /// The router on the outer side, one a family.
    pub routers: Vec<IpAddr>,
    /// Make a private key beside the file.
    pub make_key: bool,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A device that is not there, or not to be had.
    #[error("{device}: {why}")]
    Device {
        /// As it was named.
        device: String,
        /// What is wrong, and the mend.
        why: String,
    },
    /// A key without a file beside which it would lie.
    #[error("--make-key needs --output FILE: the key is written beside it")]
    KeyWithoutFile,
    /// The machine has no randomness to give.
    #[error("the key: {0}")]
    Random(getrandom::Error),
    /// What is written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// What is printed.
    #[error("the output: {0}")]
    Output(#[from] io::Error),
}

/// The interface that is set up.
const INTERFACE: &str = "wg0";

/// Writes a configuration, or prints it.
///
/// # Errors
/// [`SetupError`]; nothing is written then.
pub fn setup(system: &System, options: &SetupOptions, out: &mut impl Write) -> Result<(), SetupError> {
    let nics = Nic::all(system);
    let logins = Login::all(system);
    // A NIC with addresses of the kernel's is somebody's: taken for a gateway, it would be gone for them.
    let used = |nic: &Nic| nic.interfaces.iter().any(|interface| kernel_has_addresses(system, interface));
    let free = |nic: &&Nic| !used(nic) && !logins.iter().any(|login| login.is_on(nic));
    let [outer, inner] = named::both(system, &logins, [options.outer.as_deref(), options.inner.as_deref()])?;
    let is_named = |nic: &&Nic| outer.iter().chain(&inner).any(|named| named.is_on(system, nic));
    let mut candidates = nics.iter().filter(free).filter(|nic| !is_named(nic)).map(|nic| nic.address.clone());
    let mut device =
        |named: &Option<Named>| named.as_ref().map(|named| named.device.clone()).or_else(|| candidates.next());
    let (outer, inner) = (device(&outer), device(&inner));
    let proposal = Proposal { system, options, nics: &nics, logins: &logins, outer, inner };
    let (text, marked) = proposal.text();
    let Some(output) = &options.output else {
        if options.make_key {
            return Err(SetupError::KeyWithoutFile);
        }
        return Ok(out.write_all(text.as_bytes())?);
    };
    let mut files = vec![NewFile { path: output.clone(), mode: 0o644, text: &text }];
    let key = options.make_key.then(new_key).transpose()?;
    let key_path = folder_of(output).join(format!("{INTERFACE}.key"));
    if let Some((private, _)) = &key {
        files.push(NewFile { path: key_path.clone(), mode: 0o600, text: private });
    }
    write_all(&files)?;
    writeln!(out, "written: {}", output.display())?;
    match key {
        Some((_, public)) => {
            writeln!(out, "written: {} (keep it); its public key, for the clients: {public}", key_path.display())?
        }
        None => writeln!(out, "the key is for you to make: (umask 077; wg genkey > {})", key_path.display())?,
    }
    if marked {
        writeln!(out, "next: fill in what is marked {} in it", proposal::FILL_IN)?;
    }
    writeln!(out, "then: culvert doctor --config {0}; culvertd --config {0}", output.display())?;
    Ok(())
}

/// A private key as `wg genkey` makes it, with its line end, and its public key.
fn new_key() -> Result<(Zeroizing<String>, String), SetupError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut_slice()).map_err(SetupError::Random)?;
    // Clamped (RFC 7748, section 5), as `wg genkey` does, so that `wg` shows what the file holds.
    let [first, .., last] = &mut *bytes;
    *first &= 248;
    *last = (*last & 127) | 64;
    let secret = StaticSecret::from(*bytes);
    let public = to_base64(PublicKey::from(&secret).as_bytes());
    Ok((Zeroizing::new(format!("{}\n", *Zeroizing::new(to_base64(&bytes)))), public))
}

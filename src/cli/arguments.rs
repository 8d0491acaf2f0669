//! What culvertd is called with: here, so that its manual page is made of it.

use clap::Parser;
use std::path::PathBuf;

/// A WireGuard gateway on DPDK.
#[derive(Debug, Parser)]
#[command(name = "culvertd", version, about)]
pub struct GatewayArguments {
    /// The configuration; conf.d/*.toml beside it and CULVERT__SECTION__KEY variables go over it.
    #[arg(long, value_name = "FILE", default_value = "/etc/culvert/culvert.toml")]
    pub config: PathBuf,

    /// Append the keys of all sessions to this file, in the form of Wireshark's wg.keylog_file: who has it reads all.
    #[arg(long, value_name = "FILE")]
    pub key_log: Option<PathBuf>,

    /// Become this user once the ports are up, if root has started it: culvert, if there is such a user. root stays root.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
}

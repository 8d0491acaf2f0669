//! Finds the installed libdpdk, declares what `wrapper.h` names, and compiles its static inline functions. On x86 the
//! same for Intel's libipsec-mb, which Debian's libdpdk-dev brings and no pkg-config file describes.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The oldest release whose API the wrappers are written for.
const OLDEST: &str = "22.11";

/// Functions declared. Static inline ones get a C wrapper each, so the list is kept to what is of use.
const FUNCTIONS: &str = "dpdk_(errno|tel_data_add_dict_u64|mbuf_(set_header_lengths|rss_hash))|fopencookie|setvbuf\
    |rte_eal_(init|cleanup|process_type|has_hugepages|iova_mode)\
    |rte_(strerror|version|openlog_stream|log_.*)\
    |rte_(lcore_.*|socket_.*|thread_(un)?register|get_main_lcore)\
    |rte_dev_.*\
    |rte_(rdtsc|get_tsc_hz)\
    |rte_eth_.*\
    |rte_(mempool_(get|put|avail_count|in_use_count|free|lookup|list_dump).*)\
    |rte_pktmbuf_(pool_create.*|alloc|alloc_bulk|free|free_bulk|chain|reset)\
    |rte_ip_frag_table_(create|destroy|del_expired_entries)|rte_ipv[46]_frag_reassemble_packet\
    |rte_telemetry_register_cmd|rte_tel_data_(start_dict|add_dict_string)\
    |rte_ring_(create|free|lookup|count|free_count|get_(size|capacity)|(en|de)queue_(bulk|burst))";

/// Types declared beyond those that the functions need.
const TYPES: &str = "rte_mbuf|rte_mempool|rte_ring|rte_eth_.*|_?IO_.*|cookie_.*";

/// Constants. `per_lcore_*` are thread-local and would be declared wrongly.
const VARIABLES: &str = "DPDK_.*|RTE_TEL_MAX_.*|RTE_LIBRTE_IP_FRAG_MAX_FRAG|RTE_EAL_PMD_PATH|RTE_(MAX|PMD_RING|MBUF|ETH|ETHER|PKTMBUF|RING|MEMPOOL|LOG|VER|CACHE)_.*|RTE_MAX_.*\
    |RING_F_.*|SOCKET_ID_ANY|LCORE_ID_ANY|_IONBF|_IOLBF";

/// Of libipsec-mb: what `culvert::dpdk` calls, and what its job API is made of.
const CIPHER_FUNCTIONS: &str = "imb_(get_mb_mgr_size|set_pointers_mb_mgr|get_errno)|init_mb_mgr_auto";
const CIPHER_TYPES: &str = "IMB_(MGR|JOB|STATUS)";

fn main() {
    println!("cargo::rerun-if-changed=wrapper.h");
    let library = pkg_config::Config::new()
        .atleast_version(OLDEST)
        .probe("libdpdk")
        .unwrap_or_else(|error| panic!("libdpdk {OLDEST} or later is needed (Debian: libdpdk-dev): {error}"));
    println!("cargo::metadata=version={}", library.version);
    // `rte_eth_from_rings` lives in a driver, which libdpdk.pc does not name.
    println!("cargo::rustc-link-lib=rte_net_ring");

    let flags = compiler_flags();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let inlines = out.join("inlines.c");
    bindgen::Builder::default()
        .header("wrapper.h")
        .clang_args(&flags)
        .use_core()
        .default_enum_style(bindgen::EnumVariation::ModuleConsts)
        .prepend_enum_name(false)
        .allowlist_function(FUNCTIONS)
        .allowlist_type(TYPES)
        .allowlist_var(VARIABLES)
        .blocklist_item("per_lcore_.*")
        .blocklist_function(
            "rte_eth_(cman|dcb|fec|hairpin|ip_reassembly|mirror|rx_metadata|timesync|representor|bond).*",
        )
        .wrap_static_fns(true)
        .wrap_static_fns_path(&inlines)
        .generate_comments(false)
        .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()))
        .generate()
        .expect("bindgen reads the installed headers")
        .write_to_file(out.join("bindings.rs"))
        .expect("OUT_DIR takes the bindings");

    let mut inline_functions = cc::Build::new();
    inline_functions.file(&inlines).include(".").opt_level(3).warnings(false);
    for flag in &flags {
        inline_functions.flag(flag);
    }
    inline_functions.compile("dpdk_inlines");

    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64") {
        bind_ipsec_mb(&out);
    }
}

/// Declares the job API of libipsec-mb.
fn bind_ipsec_mb(out: &Path) {
    println!("cargo::rustc-link-lib=IPSec_MB");
    bindgen::Builder::default()
        .header_contents("ipsec_mb.h", "#include <intel-ipsec-mb.h>")
        .use_core()
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .allowlist_function(CIPHER_FUNCTIONS)
        .allowlist_type(CIPHER_TYPES)
        .generate_comments(false)
        .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()))
        .generate()
        .unwrap_or_else(|error| panic!("intel-ipsec-mb.h is needed (Debian: libipsec-mb-dev): {error}"))
        .write_to_file(out.join("ipsec_mb.rs"))
        .expect("OUT_DIR takes the bindings");
}

/// What DPDK wants its users to be compiled with. The crate `pkg-config` keeps include paths only and loses
/// `-include rte_config.h` and `-march=…`, without which the inline functions are compiled wrongly.
fn compiler_flags() -> Vec<String> {
    let pkg_config = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    let output = Command::new(pkg_config).args(["--cflags", "libdpdk"]).output().expect("pkg-config runs");
    assert!(output.status.success(), "pkg-config --cflags libdpdk: {}", String::from_utf8_lossy(&output.stderr));
    let flags = String::from_utf8(output.stdout).expect("pkg-config writes UTF-8");
    flags.split_whitespace().map(str::to_owned).collect()
}

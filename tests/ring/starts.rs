//! Starts that cannot be: one sentence says why, and nothing is left behind.

use crate::rig::{Options, assert_laws, assert_no_sockets, configuration, eal, ports};
use culvert::gateway::Gateway;
use std::sync::Arc;

#[test]
fn bad_starts_say_why_and_leave_nothing() {
    let eal = eal();
    let folder = tempfile::tempdir().unwrap();
    let refused = |mbufs, ports: &str, change: &dyn Fn(String) -> String| {
        let options = Options { mbufs, ..Options::default() };
        let mut config = configuration(folder.path(), &options, ports);
        let socket = change(config.control.socket.display().to_string());
        config.control.socket = socket.into();
        let error = Gateway::start_on(&eal, &config).expect_err("a start that cannot be").to_string();
        assert_no_sockets(folder.path());
        error
    };
    let same = |path: String| path;
    let good = ports("net_null0", "net_null1", 1);

    let error = refused(4_000_000, &good, &same);
    assert!(error.contains("4000000 mbufs") && error.contains("memory.mbufs") && !error.contains('\n'), "{error}");

    let error = refused(8191, &ports("net_null0", "net_no_such_driver", 1), &same);
    assert!(error.starts_with("port \"lan\" (net_no_such_driver"), "{error}");
    let error = refused(8191, &ports("net_af_packet0,iface=no-such-if0", "net_null1", 1), &same);
    assert!(error.starts_with("port \"wan\"") && error.contains("ip link"), "{error}");
    let error = refused(8191, &ports("0000:ff:1f.7", "net_null1", 1), &same);
    assert!(error.starts_with("port \"wan\"") && error.contains("vfio-pci"), "{error}");

    // After the wg socket was bound: it goes again.
    let error = refused(8191, &good, &|path| format!("{path}/below/a/file.sock").replace("culvert.sock", "wg0.key"));
    assert!(error.contains("[control] socket") && !error.contains('\n'), "{error}");

    // After everything but the threads was made.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let mut config = configuration(folder.path(), &Options { mbufs: 8191, ..Options::default() }, &good);
    config.metrics.listen = Some(listen);
    let error = Gateway::start_on(&eal, &config).expect_err("an address that cannot be").to_string();
    assert_no_sockets(folder.path());
    let (place, mend) = (format!("[metrics] listen {listen}: "), "Name an address of this machine and a port");
    assert!(error.starts_with(&place) && error.contains("in use") && error.contains(mend), "{error}");
    assert!(!error.contains('\n'), "{error}");

    // The same EAL, memory and devices are free for a good start.
    for _ in 0..2 {
        let options = Options { mbufs: 8191, ..Options::default() };
        let mut config = configuration(folder.path(), &options, &good);
        config.metrics.listen = None;
        let gateway = Gateway::start_on(&eal, &config).unwrap();
        assert_eq!(gateway.metrics_address(), None);
        let second = Gateway::start_on(&eal, &config).expect_err("its devices are taken").to_string();
        assert!(second.contains("net_null0") && !second.contains('\n'), "{second}");
        assert!(folder.path().join("culvert.sock").exists() && folder.path().join("wireguard/wg0.sock").exists());
        let report = Arc::clone(gateway.report());
        assert!(gateway.stop(), "{:?}", report.account());
        assert_laws(&report);
        assert_no_sockets(folder.path());
    }
}

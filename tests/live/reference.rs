//! The lab itself, with wireguard-go in culvertd's place: what fails here is no fault of culvertd's.

use crate::bench::{peers, pings};
use culvert::cli::lab::{HOST_V4, HOST_V6, Lab, udp_stream};
use std::time::Duration;

#[test]
fn the_lab_carries_what_wireguard_go_carries() {
    let lab = Lab::new(2).unwrap();
    let (interface, gateway) = (lab.unique("ref"), lab.gateway());
    gateway.sysctl(&[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")]).unwrap();
    gateway.sysctl(&[("ipv6/conf/wan0/disable_ipv6", "0"), ("ipv6/conf/lan0/disable_ipv6", "0")]).unwrap();
    gateway.sysctl(&[("ipv6/conf/default/disable_ipv6", "0")]).unwrap();
    gateway
        .ip("addr add 192.0.2.10/24 dev wan0\naddr add 2001:db8::10/64 dev wan0\naddr add 10.10.0.1/24 dev lan0\n\
             addr add fd00:10::1/64 dev lan0\nroute add default via 192.0.2.1\nroute add default via 2001:db8::1\n\
             route add 10.20.0.0/16 via 10.10.0.2")
        .unwrap();
    let command = ["env", "LOG_LEVEL=verbose", "wireguard-go", "-f", &interface];
    let mut process = gateway.start("wireguard-go as gateway", &command, &lab.file("reference.log")).unwrap();
    process.wait_for("UAPI listener started", Duration::from_secs(15)).unwrap();
    let sections: String = peers(&lab).iter().map(ToString::to_string).collect();
    let text = format!("[Interface]\nPrivateKey = {}\nListenPort = 51820\n{sections}", lab.gateway_keys().private);
    let file = lab.write("reference.conf", &text).unwrap();
    gateway.run(&["wg", "setconf", &interface, &file.to_string_lossy()]).unwrap();
    gateway
        .ip(&format!("link set {interface} up mtu 1420\nroute add 10.9.0.0/16 dev {interface}\nroute add fd00:9::/32 dev {interface}"))
        .unwrap();

    let (one, two) = (lab.client(1).unwrap(), lab.client(2).unwrap());
    pings(one.namespace(), HOST_V4);
    pings(two.namespace(), HOST_V6);
    pings(one.namespace(), &two.v4());
    pings(lab.host(), &one.v6());
    let to = (HOST_V4.parse::<std::net::IpAddr>().unwrap(), 7000).into();
    udp_stream(one.namespace(), lab.host(), to, 1_500, 3_000).unwrap().whole().unwrap();
}

//! What of the kernel's own network gets in the way.

use super::{Check, Finding, Mend, Place, Subject, each_or, without_configuration};

pub(super) static LISTEN_PORT: Check = Check {
    id: "listen-port",
    looks_at: "whether the kernel's WireGuard or a program listens on the configured UDP ports",
    why: "on a port that stands on a kernel's interface both get the packets and answer; clients believe the first",
    run: listen_port,
};

pub(super) static KERNEL_WIREGUARD: Check = Check {
    id: "kernel-wireguard",
    looks_at: "whether the kernel has WireGuard interfaces of the configured names",
    why: "`wg` then shows and changes the kernel's, and not culvert's",
    run: kernel_wireguard,
};

fn listen_port(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(config) = subject.config else { return without_configuration() };
    let text = ["/proc/net/udp", "/proc/net/udp6"].map(|file| subject.system.text(file).unwrap_or_default());
    // `  12: 00000000:CA6C 00000000:0000 07 …  inode`: the kernel's own sockets belong to no file, inode 0.
    let taken = |port: u16| {
        text.iter().flat_map(|text| text.lines().skip(1)).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (_, own) = fields.get(1)?.rsplit_once(':')?;
            (u16::from_str_radix(own, 16) == Ok(port)).then(|| fields.get(9) == Some(&"0"))
        })
    };
    // A NIC's packets never reach the kernel.
    let shared = subject
        .ports
        .iter()
        .any(|(port, place)| port.role.is_outer() && matches!(place, Place::Virtual { interface: Some(_), .. }));
    let ports = config.interfaces.iter().flat_map(|interface| &interface.listen_ports);
    let finding = |port: &u16| {
        let finding = match taken(*port) {
            None => Finding::ok("nobody else listens there"),
            Some(_) if !shared => Finding::ok("the kernel has a socket there too, but sees none of culvert's packets"),
            Some(true) => Finding::fail("the kernel's WireGuard (or another of its tunnels) listens there")
                .mend(Mend::command("wg show all listen-port   (tells which)"))
                .mend(Mend::command("wg-quick down INTERFACE")),
            Some(false) => Finding::fail("a program listens there")
                .mend(Mend::command(format!("ss -lunp sport = :{port}   (tells which; end it)"))),
        };
        finding.about(format!("UDP {port}"))
    };
    ports.map(finding).collect()
}

fn kernel_wireguard(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(config) = subject.config else { return without_configuration() };
    let finding = |interface: &crate::config::Interface| {
        let name = &interface.name;
        let event = subject.system.text(format!("/sys/class/net/{name}/uevent")).unwrap_or_default();
        let finding = match event.lines().any(|line| line == "DEVTYPE=wireguard") {
            true => Finding::fail(format!("the kernel has a WireGuard interface {name}"))
                .mend(Mend::command(format!("wg-quick down {name} || ip link delete {name}"))),
            false => Finding::ok(format!("the kernel has no WireGuard interface {name}")),
        };
        finding.about(format!("interface {name}"))
    };
    each_or(config.interfaces.iter().map(finding), "no interface is configured")
}

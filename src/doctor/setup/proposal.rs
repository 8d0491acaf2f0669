//! The text of a first configuration.

use super::{INTERFACE, IpAddr, IpNet, Login, Nic, SetupOptions, System};
use crate::config::list_of;
use crate::doctor::checks::free_huge_mib;
use crate::doctor::nic::kernel_has_addresses;
use crate::doctor::system::numbers;
use std::fmt::Write;

/// What marks the places that people fill in; culvertd takes none of them for a value.
pub(super) const FILL_IN: &str = "FILL-IN";

/// What is known.
pub(super) struct Proposal<'a> {
    pub(super) system: &'a System,
    pub(super) options: &'a SetupOptions,
    pub(super) nics: &'a [Nic],
    pub(super) logins: &'a [Login],
    /// The devices, as the configuration names them; `None`: there is none to propose.
    pub(super) outer: Option<String>,
    pub(super) inner: Option<String>,
}

/// Which cores do what.
struct Split {
    control: usize,
    io: Vec<usize>,
    workers: Vec<usize>,
}

impl Proposal<'_> {
    /// The text, and whether something is marked in it.
    pub(super) fn text(&self) -> (String, bool) {
        let mut body = String::new();
        // A string takes all.
        let _ok = self.write(&mut body);
        let marked = body.contains(FILL_IN);
        let what = if marked {
            format!("What is marked {FILL_IN} is for you to say: culvertd refuses it.\n# ")
        } else {
            String::new()
        };
        let head = "# culvert's configuration, proposed by `culvert setup`. Keys that are commented out show their defaults.\n";
        let doctor = "`culvert doctor --config FILE` says what of this machine is to be mended.\n\n";
        (format!("{head}# {what}{doctor}{body}"), marked)
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        self.cores(text)?;
        self.memory(text)?;
        self.nics(text)?;
        let Self { options, .. } = self;
        writeln!(text, "# The port that tunnels come in by.")?;
        self.port(text, ["wan", "outer", "203.0.113.10/24"], self.outer.as_deref(), &options.outer_addresses)?;
        self.routes(text)?;
        writeln!(
            text,
            "\n# The port of the plain packets. The network behind it needs a route to the clients by this gateway."
        )?;
        self.port(text, ["lan", "inner", "10.0.0.1/16"], self.inner.as_deref(), &options.inner_addresses)?;
        writeln!(
            text,
            "\n[[interface]]\nname = \"{INTERFACE}\"\nprivate_key_file = \"{INTERFACE}.key\"   # relative to this file\n\
             # listen_ports = [51820]\n# peers_file = \"{INTERFACE}.conf\"       # in `wg setconf` syntax; else peers come by `wg set {INTERFACE} peer …`\n\
             # mtu = 1420"
        )
    }

    fn cores(&self, text: &mut String) -> std::fmt::Result {
        let all = &self.system.machine.cores;
        let nodes = self.system.nodes().len();
        let plural = if nodes == 1 { "node" } else { "nodes" };
        writeln!(
            text,
            "[cores]                    # this machine has cores {} on {nodes} NUMA {plural}",
            list_of(all)
        )?;
        let list = |cores: &[usize]| cores.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        match self.split() {
            Some(Split { control, io, workers }) => {
                writeln!(text, "control = {control}\nhandshake = [{control}]")?;
                writeln!(text, "io = [{}]                  # these poll the ports", list(&io))?;
                writeln!(text, "workers = [{}]             # these encrypt and decrypt", list(&workers))?;
            }
            None => writeln!(
                text,
                "# With so few cores culvertd's own choice is the best: control on the first, all else on the last."
            )?,
        }
        writeln!(text, "# idle = \"adaptive\"        # \"busy\": poll for ever\n")
    }

    /// One thread of each physical core on the ports' node: the first for the kernel and control, a fifth of the others polls ports.
    fn split(&self) -> Option<Split> {
        let device = self.outer.as_deref();
        let node = self.nics.iter().find(|nic| Some(nic.address.as_str()) == device).and_then(|nic| nic.node);
        let is_first_thread = |core: &usize| {
            let file = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
            let threads = numbers(&self.system.text(file).unwrap_or_default());
            threads.first().is_none_or(|first| first == core)
        };
        let near = |core: &usize| node.is_none_or(|node| self.system.node_of_core(*core) == node);
        let cores = self.system.machine.cores.iter().copied();
        let cores: Vec<usize> = cores.filter(near).filter(is_first_thread).collect();
        let (control, data) = cores.split_first()?;
        let (io, workers) = data.split_at(data.len().div_ceil(5));
        if workers.is_empty() {
            None
        } else {
            Some(Split { control: *control, io: io.to_vec(), workers: workers.to_vec() })
        }
    }

    fn memory(&self, text: &mut String) -> std::fmt::Result {
        let free = |node: usize| format!("{} MiB on node {node}", free_huge_mib(self.system, node));
        let free: Vec<String> = self.system.nodes().into_iter().map(free).collect();
        writeln!(
            text,
            "[memory]\n# huge_pages = \"auto\"      # free now: {}; `culvert doctor` says what is needed\n",
            free.join(", ")
        )
    }

    fn nics(&self, text: &mut String) -> std::fmt::Result {
        if self.nics.is_empty() {
            return writeln!(text, "# There is no NIC on the PCI bus.");
        }
        writeln!(text, "# The NICs of this machine:")?;
        for nic in self.nics {
            let driver = nic.driver.as_deref().unwrap_or("no driver");
            let node = nic.node.map(|node| format!(", node {node}")).unwrap_or_default();
            let link =
                nic.interfaces.first().and_then(|name| self.system.text(format!("/sys/class/net/{name}/carrier")));
            let link = match link.as_deref() {
                Some("1") => ", link",
                Some(_) => ", no link",
                None => "",
            };
            let login = self.logins.iter().find(|login| login.is_on(nic));
            let used = nic.interfaces.iter().find(|interface| kernel_has_addresses(self.system, interface));
            let login = match (login, used) {
                (Some(login), _) => format!("; carries {}: never a port", login.what),
                (None, Some(interface)) => format!("; in use: the kernel has addresses on {interface}"),
                (None, None) => String::new(),
            };
            writeln!(text, "#   {}: {driver}{node}{link}{login}", nic.shown())?;
        }
        writeln!(text)
    }

    fn port(
        &self,
        text: &mut String,
        [name, role, example]: [&str; 3],
        device: Option<&str>,
        addresses: &[IpNet],
    ) -> std::fmt::Result {
        writeln!(text, "[[port]]\nname = \"{name}\"")?;
        match device {
            Some(device) => writeln!(text, "device = {device:?}")?,
            None => {
                writeln!(text, "device = \"{FILL_IN}: a PCI address, or a vdev such as net_af_packet0,iface=eth1\"")?
            }
        }
        writeln!(text, "role = \"{role}\"")?;
        let quoted: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
        match quoted.as_slice() {
            [] => writeln!(text, "addresses = [\"{FILL_IN}: the gateway's own here, such as {example}\"]"),
            quoted => writeln!(text, "addresses = [{}]", quoted.join(", ")),
        }
    }

    fn routes(&self, text: &mut String) -> std::fmt::Result {
        let Self { options, .. } = self;
        if options.routers.is_empty() {
            // Clients in the port's own subnet need none.
            return writeln!(
                text,
                "# routes = [{{ to = \"0.0.0.0/0\", via = \"203.0.113.1\" }}]   # the router to the clients, if there is one"
            );
        }
        let route = |router: &IpAddr| {
            let to = if router.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
            format!("{{ to = \"{to}\", via = \"{router}\" }}")
        };
        writeln!(text, "routes = [{}]", options.routers.iter().map(route).collect::<Vec<_>>().join(", "))
    }
}

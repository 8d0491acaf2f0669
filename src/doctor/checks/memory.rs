//! Memory for packets.

use super::{Check, Finding, Fix, Mend, Subject, System};
use crate::config::HugePages;

pub(super) static HUGE_PAGES: Check = Check {
    id: "huge-pages",
    looks_at: "the free huge pages of each NUMA node, against what the configuration needs",
    why: "in ordinary pages each packet costs misses of the TLB, and many NICs cannot reach memory there",
    run: huge_pages,
};

pub(super) static MEMORY: Check = Check {
    id: "memory",
    looks_at: "the memory that is available for packets without huge pages",
    why: "culvertd does not start where its packet buffers would have the kernel end somebody for them",
    run: memory,
};

pub(super) static TRANSPARENT_HUGE_PAGES: Check = Check {
    id: "transparent-huge-pages",
    looks_at: "whether the kernel makes huge pages of ordinary ones where they are asked for, and only there",
    why: "always: while it moves pages together, data cores that touch them wait; never: each look into big tables misses the TLB",
    run: transparent_huge_pages,
};

pub(super) static MEMLOCK: Check = Check {
    id: "memlock",
    looks_at: "how much memory a process of this login may lock, against what the configuration needs",
    why: "vfio locks all memory that a NIC reaches; beyond the limit its mapping fails with \"Cannot allocate memory\"",
    run: memlock,
};

/// The huge pages of a node and size.
struct Pages {
    folder: String,
    kib: u64,
    all: u64,
    free: u64,
}

impl Pages {
    /// Of one NUMA node, the smallest first.
    fn of_node(system: &System, node: usize) -> Vec<Self> {
        let of_node = format!("/sys/devices/system/node/node{node}/hugepages");
        let folder = if system.exists(&of_node) { of_node } else { "/sys/kernel/mm/hugepages".into() };
        let mut all: Vec<Self> = system
            .names(&folder)
            .iter()
            .filter_map(|name| {
                let kib = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
                let folder = format!("{folder}/{name}");
                let number = |file: &str| system.number(format!("{folder}/{file}"));
                Some(Self { all: number("nr_hugepages")?, free: number("free_hugepages")?, kib, folder })
            })
            .collect();
        all.sort_by_key(|pages| pages.kib);
        all
    }

    fn free_mib(pages: &[Self]) -> u64 {
        pages.iter().map(|pages| (pages.kib * pages.free) >> 10).sum()
    }
}

/// MiB of free huge pages on a node.
pub(in crate::doctor) fn free_huge_mib(system: &System, node: usize) -> u64 {
    Pages::free_mib(&Pages::of_node(system, node))
}

fn huge_pages(subject: &Subject<'_>) -> Vec<Finding> {
    let wish = subject.config.map(|config| config.memory.huge_pages);
    if wish == Some(HugePages::None) {
        return vec![Finding::not_applicable("the configuration wants none (huge_pages = \"none\")")];
    }
    let system = subject.system;
    // DPDK takes its memory on the node of the thread that starts it, the control core's.
    let home = subject.config.map_or(0, |config| system.node_of_core(config.cores.control));
    let need = subject.need_mib(true).filter(|_| !subject.gateway_runs);
    let nodes: Vec<(usize, Vec<Pages>)> =
        system.nodes().into_iter().map(|node| (node, Pages::of_node(system, node))).collect();
    if nodes.iter().all(|(_, pages)| pages.is_empty()) {
        let finding = Finding::fail_if(wish == Some(HugePages::Required), "this kernel has none");
        return vec![finding.mend(Mend::advice("Boot a kernel with CONFIG_HUGETLBFS, as Debian's is"))];
    }
    let finding = |(node, pages): &(usize, Vec<Pages>)| {
        let free = Pages::free_mib(pages);
        let found = match subject.gateway_runs {
            true => format!("{free} MiB free beside what the running gateway has"),
            false => format!("{free} MiB free"),
        };
        let finding = match need {
            _ if *node != home => Finding::ok(found),
            Some(need) if free < need => {
                let lack = Finding::fail_if(
                    wish == Some(HugePages::Required),
                    format!("{found}, where {need} MiB are needed"),
                );
                more(lack, &nodes, *node, need - free)
            }
            Some(need) => Finding::ok(format!("{found}, {need} MiB are needed")),
            // As much as setup.sh reserves: enough for two ports.
            None if free == 0 && !subject.gateway_runs => more(Finding::warning(found), &nodes, *node, 512),
            None => Finding::ok(found),
        };
        finding.about(format!("node {node}"))
    };
    nodes.iter().map(finding).collect()
}

/// How to get so many more on a node.
fn more(finding: Finding, nodes: &[(usize, Vec<Pages>)], node: usize, lack_mib: u64) -> Finding {
    let smallest = |of: usize| nodes.iter().find(|(node, _)| *node == of)?.1.first();
    let Some(Pages { folder, kib, all, .. }) = smallest(node) else { return finding };
    let count = all + (lack_mib << 10).div_ceil((*kib).max(1));
    let path = format!("{folder}/nr_hugepages");
    // A bare number is shared out between the nodes: of several, each is named (those left out would get none).
    let pages = match nodes {
        [_] => count.to_string(),
        nodes => {
            let of =
                |node_of: usize| if node_of == node { count } else { smallest(node_of).map_or(0, |pages| pages.all) };
            let list: Vec<String> = nodes.iter().map(|(node, _)| format!("{node}:{}", of(*node))).collect();
            list.join(",")
        }
    };
    finding
        .mend(Mend::fix(Fix::Write { path: path.clone(), value: count.to_string() }))
        .mend(Mend::line("/etc/tmpfiles.d/culvert.conf", format!("w {path} - - - - {count}")))
        .mend(Mend::boot(&format!("default_hugepagesz={kib}K hugepagesz={kib}K hugepages={pages}")))
}

fn memory(subject: &Subject<'_>) -> Vec<Finding> {
    let system = subject.system;
    if subject.gateway_runs {
        return vec![Finding::not_applicable("the running gateway has its own")];
    }
    let Some(need) = subject.need_mib(false) else {
        return vec![Finding::not_applicable("without a configuration nobody knows the need")];
    };
    if subject.is_in_huge_pages() {
        return vec![Finding::not_applicable("packets are in huge pages")];
    }
    let available = system.field("/proc/meminfo", "MemAvailable");
    let available = available.and_then(|text| text.strip_suffix("kB")?.trim().parse::<u64>().ok()).map(|kib| kib >> 10);
    let Some(available) = available else {
        return vec![Finding::not_applicable("the kernel does not say what is available")];
    };
    let found = format!("{available} MiB available, {need} MiB are needed");
    vec![match available < need {
        true => Finding::fail(found).mend(Mend::advice(
            "Write fewer mbufs in [memory], or fewer queues or cores, or give the machine more memory",
        )),
        false => Finding::ok(found),
    }]
}

fn transparent_huge_pages(subject: &Subject<'_>) -> Vec<Finding> {
    const FILE: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
    let Some(text) = subject.system.text(FILE) else {
        return vec![Finding::not_applicable("this kernel has none")];
    };
    let chosen = text.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    vec![match chosen {
        Some(other @ ("always" | "never")) => Finding::warning(other)
            .mend(Mend::fix(Fix::Write { path: FILE.into(), value: "madvise".into() }))
            .mend(Mend::boot("transparent_hugepage=madvise")),
        other => Finding::ok(other.unwrap_or(&text)),
    }]
}

/// `CAP_IPC_LOCK`, with which the limit does not hold.
const IPC_LOCK: u64 = 1 << 14;

fn memlock(subject: &Subject<'_>) -> Vec<Finding> {
    let system = subject.system;
    let limits = system.text("/proc/self/limits").unwrap_or_default();
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max locked memory")?.split_whitespace().next());
    let Some(limit) = limit else {
        return vec![Finding::not_applicable("the kernel does not say")];
    };
    let capabilities = system.field("/proc/self/status", "CapEff");
    let capabilities = capabilities.and_then(|text| u64::from_str_radix(&text, 16).ok()).unwrap_or(0);
    if limit == "unlimited" {
        return vec![Finding::ok("unlimited")];
    }
    if capabilities & IPC_LOCK != 0 {
        return vec![Finding::ok("this user may lock what it likes (CAP_IPC_LOCK)")];
    }
    let mib = limit.parse::<u64>().unwrap_or(0) >> 20;
    let need = subject.need_mib(true).unwrap_or(512);
    let found = format!("{mib} MiB, where {need} MiB are needed");
    if mib >= need {
        return vec![Finding::ok(format!("{mib} MiB, {need} MiB are needed"))];
    }
    if subject.is_all_virtual() {
        return vec![Finding::not_applicable(format!("{mib} MiB; no configured port is a NIC's"))];
    }
    vec![
        Finding::fail_if(subject.wants_vfio(), found)
            .mend(Mend::line("culvertd's unit, [Service]", "LimitMEMLOCK=infinity"))
            .mend(Mend::line("/etc/security/limits.d/culvert.conf (for logins)", "culvert - memlock unlimited")),
    ]
}

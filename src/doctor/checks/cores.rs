//! The cores that packets run on.

use super::system::numbers;
use super::{Check, Finding, Fix, Mend, Subject, without_configuration};
use crate::config::list_of;
use std::path::Path;

pub(super) static ISOLATION: Check = Check {
    id: "isolation",
    looks_at: "isolcpus, nohz_full and rcu_nocbs against the configured data cores",
    why: "what else the kernel runs on a data core holds packets up, and overruns the NIC's queue",
    run: isolation,
};

pub(super) static GOVERNOR: Check = Check {
    id: "governor",
    looks_at: "the frequency governor of the data cores",
    why: "a core that sleeps between bursts is clocked down by the others, and wakes up slowly",
    run: governor,
};

pub(super) static SIBLINGS: Check = Check {
    id: "siblings",
    looks_at: "whether two data cores are threads of one physical core",
    why: "they share its units: together they do hardly more than one of them",
    run: siblings,
};

pub(super) static IRQBALANCE: Check = Check {
    id: "irqbalance",
    looks_at: "whether irqbalance runs and may put interrupts on data cores",
    why: "an interrupt on a data core holds its packets up",
    run: irqbalance,
};

pub(super) static CGROUP: Check = Check {
    id: "cgroup",
    looks_at: "cores and memory that this session's control group leaves, against what the configuration needs",
    why: "a gateway that is started from here gets no more than that",
    run: cgroup,
};

const CPUS: &str = "/sys/devices/system/cpu";

fn isolation(subject: &Subject<'_>) -> Vec<Finding> {
    let system = subject.system;
    if subject.config.is_none() {
        return without_configuration();
    }
    let online = numbers(&system.text(format!("{CPUS}/online")).unwrap_or_default());
    // The kernel needs a core for itself, and one cannot be isolated from what runs on it too.
    let first = online.first().copied().unwrap_or(0);
    let cores: Vec<usize> = subject.data_cores().into_iter().filter(|core| *core != first).collect();
    if online.len() < 3 || cores.is_empty() {
        let found = format!("with {} cores, none is left to be isolated", online.len());
        return vec![Finding::not_applicable(found)];
    }
    let isolated = numbers(&system.text(format!("{CPUS}/isolated")).unwrap_or_default());
    let tickless = numbers(&system.text(format!("{CPUS}/nohz_full")).unwrap_or_default());
    // The kernel shows no file for it, and nohz_full implies it.
    let callbacks = numbers(&system.boot_argument("rcu_nocbs").unwrap_or_default());
    let lacks = |list: &[usize]| -> Vec<usize> { cores.iter().copied().filter(|core| !list.contains(core)).collect() };
    let callbacks: Vec<usize> = lacks(&callbacks).into_iter().filter(|core| !tickless.contains(core)).collect();
    let missing = [("isolcpus", lacks(&isolated)), ("nohz_full", lacks(&tickless)), ("rcu_nocbs", callbacks)];
    let missing: Vec<String> = missing
        .iter()
        .filter(|(_, cores)| !cores.is_empty())
        .map(|(what, cores)| format!("{what} is without {}", list_of(cores)))
        .collect();
    let list = list_of(&cores);
    vec![match missing.is_empty() {
        true => Finding::ok(format!("cores {list} are culvert's alone")),
        false => Finding::warning(format!("data cores {list}: {}", missing.join(", ")))
            .mend(Mend::boot(&format!("isolcpus=managed_irq,domain,{list} nohz_full={list} rcu_nocbs={list}"))),
    }]
}

fn governor(subject: &Subject<'_>) -> Vec<Finding> {
    let system = subject.system;
    let cores = if subject.config.is_some() { subject.data_cores() } else { system.machine.cores.clone() };
    let file = |core: usize| format!("{CPUS}/cpu{core}/cpufreq/scaling_governor");
    let known: Vec<(usize, String)> =
        cores.into_iter().filter_map(|core| Some((core, system.text(file(core))?))).collect();
    if known.is_empty() {
        return vec![Finding::not_applicable("the kernel sets no frequency here (usual in a virtual machine)")];
    }
    let slow: Vec<&(usize, String)> = known.iter().filter(|(_, governor)| governor != "performance").collect();
    let Some((_, governor)) = slow.first() else {
        return vec![Finding::ok("performance")];
    };
    let cores: Vec<usize> = slow.iter().map(|(core, _)| *core).collect();
    let finding = Finding::warning(format!("{governor}, on cores {}", list_of(&cores)));
    let mend = |finding: Finding, core: usize| {
        finding.mend(Mend::fix(Fix::Write { path: file(core), value: "performance".into() }))
    };
    let finding = cores.into_iter().fold(finding, mend);
    vec![finding.mend(Mend::line("/etc/default/cpufrequtils (package cpufrequtils)", "GOVERNOR=\"performance\""))]
}

fn siblings(subject: &Subject<'_>) -> Vec<Finding> {
    let system = subject.system;
    if subject.config.is_none() {
        return without_configuration();
    }
    let cores = subject.data_cores();
    let mut pairs = Vec::new();
    for core in &cores {
        let threads =
            numbers(&system.text(format!("{CPUS}/cpu{core}/topology/thread_siblings_list")).unwrap_or_default());
        let others = threads.into_iter().filter(|other| other > core && cores.contains(other));
        pairs.extend(others.map(|other| format!("{core} and {other}")));
    }
    vec![match pairs.is_empty() {
        true if cores.len() < 2 => Finding::ok(format!("core {} is the only data core", list_of(&cores))),
        true => Finding::ok(format!("cores {} are of different physical cores", list_of(&cores))),
        false => Finding::warning(format!("threads of one physical core: {}", pairs.join(", "))).mend(Mend::advice(
            "Name one thread of each physical core in [cores] io and workers (`lscpu -e` shows the pairs)",
        )),
    }]
}

fn irqbalance(subject: &Subject<'_>) -> Vec<Finding> {
    let system = subject.system;
    let runs = system
        .names("/proc")
        .iter()
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .any(|process| system.text(format!("/proc/{process}/comm")).as_deref() == Some("irqbalance"));
    if !runs {
        return vec![Finding::ok("it does not run")];
    }
    // It leaves isolated cores alone by itself.
    let isolated = numbers(&system.text(format!("{CPUS}/isolated")).unwrap_or_default());
    let open: Vec<usize> = subject.data_cores().into_iter().filter(|core| !isolated.contains(core)).collect();
    if subject.config.is_some() && open.is_empty() {
        return vec![Finding::ok("it runs, and leaves the isolated data cores alone")];
    }
    let cores = if open.is_empty() { "the data cores".into() } else { format!("cores {}", list_of(&open)) };
    let list = if open.is_empty() { "2-3".into() } else { list_of(&open) };
    vec![
        Finding::warning(format!("it runs, and may put interrupts on {cores}"))
            .mend(Mend::line("/etc/default/irqbalance", format!("IRQBALANCE_BANNED_CPULIST={list}")))
            .mend(Mend::command("systemctl restart irqbalance")),
    ]
}

fn cgroup(subject: &Subject<'_>) -> Vec<Finding> {
    let system = subject.system;
    let Some(config) = subject.config else { return without_configuration() };
    let own = system.text("/proc/self/cgroup").unwrap_or_default();
    let Some(own) = own.lines().find_map(|line| line.strip_prefix("0::")) else {
        return vec![Finding::not_applicable("there are no control groups of version 2")];
    };
    // A limit of any group above holds too.
    let groups: Vec<&Path> = Path::new(own).ancestors().collect();
    let read = |file: &str| -> Option<u64> {
        let numbers =
            groups.iter().filter_map(|group| system.number::<u64>(format!("/sys/fs/cgroup{}/{file}", group.display())));
        numbers.min()
    };
    let cpus =
        groups.iter().find_map(|group| system.text(format!("/sys/fs/cgroup{}/cpuset.cpus.effective", group.display())));
    let mut faults = Vec::new();
    if let Some(cpus) = cpus.filter(|cpus| !cpus.is_empty()) {
        let cpus = numbers(&cpus);
        let mut wanted = subject.data_cores();
        wanted.extend(config.cores.handshake.iter().chain([&config.cores.control]));
        wanted.retain(|core| !cpus.contains(core));
        if !wanted.is_empty() {
            faults.push(format!("cores {} are not in it", list_of(&wanted)));
        }
    }
    // A gateway that runs has its memory, whatever this session's group leaves.
    let huge = subject.is_in_huge_pages();
    let file = if huge { "hugetlb.2MB.max" } else { "memory.max" };
    if let (false, Some(limit), Some(need)) = (subject.gateway_runs, read(file), subject.need_mib(huge))
        && limit >> 20 < need
    {
        let pages = if huge { "in huge pages" } else { "without huge pages" };
        faults.push(format!("its {file} is {} MiB, {need} MiB are needed {pages}", limit >> 20));
    }
    vec![match faults.is_empty() {
        true => Finding::ok(format!("{own} leaves enough")),
        false => Finding::warning(format!("{own}: {}", faults.join("; ")))
            .mend(Mend::line("culvertd's unit, [Service]", "MemoryMax=infinity, and no AllowedCPUs="))
            .mend(Mend::advice("Or start it outside of this container or slice")),
    }]
}

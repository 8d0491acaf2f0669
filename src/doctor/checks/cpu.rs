//! What the CPU can do, and its clock.

use super::{Check, Finding, Fix, Mend, Subject, System};
use crate::aead::{Backend, CpuFeatures};
use crate::config;

pub(super) static CIPHER: Check = Check {
    id: "cipher",
    looks_at: "the CPU's flags, and the cipher backend that culvertd chooses by them",
    why: "ChaCha20-Poly1305 is most of the work on a packet; the backends differ several times in speed",
    run: cipher,
};

pub(super) static TSC: Check = Check {
    id: "tsc",
    looks_at: "whether the CPU's time stamp counter is constant and does not stop",
    why: "cycles are counted by it; one that changes its rate makes `culvert show cycles` and DPDK's timers wrong",
    run: tsc,
};

pub(super) static CLOCK_SOURCE: Check = Check {
    id: "clock-source",
    looks_at: "the kernel's clock source",
    why: "with another than tsc (or the hypervisor's) each look at the clock enters the kernel or the hypervisor, which data cores avoid",
    run: clock_source,
};

fn cipher(subject: &Subject<'_>) -> Vec<Finding> {
    let flags = Flags::read(subject.system);
    let has = |wanted: &[&str]| wanted.iter().all(|flag| flags.has(flag));
    let cpu = CpuFeatures {
        avx512: has(&["avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512ifma", "avx512_vbmi2", "bmi2"]),
        aes: has(&["sse4_2", "aes", "pclmulqdq"]),
    };
    let name = subject.config.map_or(config::Backend::Auto, |config| config.crypto.backend).word();
    let virtual_machine = flags.has("hypervisor");
    let chosen = match Backend::choose_on(name, cpu) {
        Ok(chosen) => chosen,
        Err(error) => {
            let mend = Mend::line(config_file(subject), "backend = \"auto\"");
            return vec![Finding::fail(error.to_string()).mend(mend)];
        }
    };
    let fastest = Backend::available_on(CpuFeatures { avx512: true, aes: true }).next();
    if Some(chosen) == fastest {
        return vec![Finding::ok(format!("culvertd takes {}, the fastest", chosen.name()))];
    }
    let faster = Backend::ALL.into_iter().take_while(|faster| *faster != chosen);
    let lacks: Vec<String> = faster
        .map(|faster| match faster.lack_on(cpu) {
            Some(lack) => format!("not {}: {lack}", faster.name()),
            None => format!("{} would run and is faster", faster.name()),
        })
        .collect();
    let found = format!("culvertd takes {}; {}", chosen.name(), lacks.join("; "));
    let mend = match (name, virtual_machine) {
        ("auto", true) => Mend::advice("Give the virtual machine the host's CPU flags (QEMU: -cpu host)"),
        ("auto", false) => {
            Mend::advice("Take a CPU with AVX-512 IFMA and VBMI2 (Ice Lake, Zen 4 or later) for full speed")
        }
        _ => Mend::line(config_file(subject), "backend = \"auto\""),
    };
    vec![Finding::warning(found).mend(mend)]
}

fn config_file(subject: &Subject<'_>) -> String {
    subject.configuration.path().map(|path| subject.system.shown(path)).unwrap_or_default()
}

fn tsc(subject: &Subject<'_>) -> Vec<Finding> {
    let flags = Flags::read(subject.system);
    let missing: Vec<&str> = ["constant_tsc", "nonstop_tsc"].into_iter().filter(|flag| !flags.has(flag)).collect();
    vec![match missing.as_slice() {
        [] => Finding::ok("it is constant and does not stop"),
        missing => {
            let mend = match flags.has("hypervisor") {
                true => "Let the hypervisor show the TSC as invariant (QEMU: -cpu host,+invtsc)",
                false => "Take a CPU whose TSC is invariant; figures in cycles are guesses on this one",
            };
            Finding::warning(format!("the CPU has no {}", missing.join(", no "))).mend(Mend::advice(mend))
        }
    }]
}

fn clock_source(subject: &Subject<'_>) -> Vec<Finding> {
    const FOLDER: &str = "/sys/devices/system/clocksource/clocksource0";
    let Some(current) = subject.system.text(format!("{FOLDER}/current_clocksource")) else {
        return vec![Finding::not_applicable("the kernel shows none")];
    };
    // These are read without entering the hypervisor too.
    if ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"].contains(&current.as_str()) {
        return vec![Finding::ok(current)];
    }
    let available = subject.system.text(format!("{FOLDER}/available_clocksource")).unwrap_or_default();
    let finding = Finding::warning(format!("{current} (there are: {available})"));
    vec![match available.split_whitespace().any(|name| name == "tsc") {
        true => {
            finding.mend(Mend::fix(Fix::Write { path: format!("{FOLDER}/current_clocksource"), value: "tsc".into() }))
        }
        false => finding.mend(Mend::boot("tsc=reliable")),
    }]
}

/// The flags of the first CPU.
struct Flags(Vec<String>);

impl Flags {
    fn read(system: &System) -> Self {
        let flags = system.field("/proc/cpuinfo", "flags").unwrap_or_default();
        Self(flags.split_whitespace().map(str::to_owned).collect())
    }

    fn has(&self, flag: &str) -> bool {
        self.0.iter().any(|own| own == flag)
    }
}

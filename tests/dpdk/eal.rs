use super::*;
use rustix::thread::{CpuSet, sched_getaffinity};

#[test]
fn starts_once_and_keeps_the_cpu_mask() {
    let before = sched_getaffinity(None).unwrap();
    let eal = eal();
    assert_eq!(sched_getaffinity(None).unwrap(), before);
    assert!(eal.args().contains(&"--no-pci".to_owned()));
    assert!(eal.version().starts_with("DPDK "));
    assert!(!eal.has_huge_pages());
    let again = Eal::init(&EalOptions::new().huge_pages(HugePages::None));
    assert!(matches!(again, Err(EalError::StartedBefore)));
    drop(eal);
    let after_cleanup = Eal::init(&EalOptions::new().huge_pages(HugePages::None));
    assert!(matches!(after_cleanup, Err(EalError::StartedBefore)));
}

/// Interrupts and telemetry are served there, and so is whoever asks telemetry: not on the data cores.
#[test]
fn dpdks_own_threads_stay_on_the_main_core() {
    let mask = sched_getaffinity(None).unwrap();
    let core = (0..CpuSet::MAX_CPU).rfind(|core| mask.is_set(*core)).unwrap();
    let prefix = format!("culvert-eal-{}", std::process::id());
    let options = EalOptions::new().huge_pages(HugePages::None).memory_mib(64).main_core(core).telemetry(true);
    let eal = Eal::init(&options.file_prefix(prefix)).unwrap();
    let mut there = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let field =
            |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default().trim().to_owned();
        let (name, cores) = (field("Name:"), field("Cpus_allowed_list:"));
        if name.starts_with("eal-") || name.contains("telemetry") || name.starts_with("rte_") {
            assert_eq!(cores, core.to_string(), "{name}");
            there.push(name);
        }
    }
    assert!(there.iter().any(|name| name.contains("telemetry")), "{there:?}");
    drop(eal);
}

#[test]
fn a_refused_start_says_why_and_keeps_the_cpu_mask() {
    let before = sched_getaffinity(None).unwrap();
    let options = EalOptions::new()
        .huge_pages(HugePages::None)
        .memory_mib(64)
        .extra_args(["--vdev=net_null0,copy=nonsense", "--iova-mode=nonsense"]);
    let error = Eal::init(&options).unwrap_err();
    assert_eq!(sched_getaffinity(None).unwrap(), before);
    let EalError::Init { log, args, .. } = &error else { panic!("{error}") };
    assert!(args.contains(&"--no-huge".to_owned()));
    assert!(log.iter().any(|line| line.contains("iova-mode")), "{error}");
}

#[test]
fn a_core_that_is_not_there() {
    let options = EalOptions::new().huge_pages(HugePages::None).main_core(1023);
    let error = Eal::init(&options).unwrap_err();
    assert!(matches!(&error, EalError::Core { core: 1023, usable } if !usable.is_empty()));
    // Found before DPDK was asked, so it can still be started.
    eal();
}

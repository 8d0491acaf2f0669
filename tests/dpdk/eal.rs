use super::*;
use rustix::thread::sched_getaffinity;

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

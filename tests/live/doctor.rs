//! `culvert doctor`, `setup` and `import` as people run them, on this machine.

use crate::bench::{bench, programs};
use crate::json_schema::faults;
use culvert::cli::lab::{Output, output};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const SCHEMA: &str = include_str!("../../configs/doctor.schema.json");
const PATIENCE: Duration = Duration::from_secs(20);

/// The report of `culvert doctor --json`, by its schema, and with the exit code that goes with it.
fn report(output: &Output) -> Value {
    let report: Value = serde_json::from_str(&output.out).unwrap();
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    assert_eq!(faults(&schema, &schema, &report, ""), [""; 0]);
    assert_eq!(output.code, i32::from(report["verdict"] == "fail"), "{}", output.err);
    report
}

fn of<'r>(report: &'r Value, id: &str) -> Vec<&'r Value> {
    report["checks"].as_array().unwrap().iter().filter(|check| check["id"] == id).collect()
}

fn is_empty(folder: &str) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// What a machine lacks of bare metal is named with its mend.
#[test]
fn doctor_names_what_bare_metal_lacks_here() {
    let culvert = programs().culvert;
    let report = report(&output(&[culvert.to_str().unwrap(), "doctor", "--json"], PATIENCE).unwrap());
    let lacks = [
        ("iommu", is_empty("/sys/kernel/iommu_groups"), "iommu"),
        ("vfio", !Path::new("/sys/bus/pci/drivers/vfio-pci").exists(), ""),
    ];
    for (id, lacks, mend) in lacks {
        let [check] = of(&report, id)[..] else { panic!("{id}: {report}") };
        let told = check["verdict"] == "warning" && check["mends"][0]["text"].as_str().unwrap().contains(mend);
        assert_eq!(told, lacks, "{check}");
    }
    let [version] = of(&report, "dpdk-version")[..] else { panic!("{report}") };
    assert_eq!(version["verdict"], "ok");
    assert!(!of(&report, "nics").is_empty() && !of(&report, "huge-pages").is_empty());
}

/// By a configuration that runs, nothing fails: the ports on the kernel's interfaces are found there.
#[test]
fn doctor_goes_by_a_configuration_that_runs() {
    let bench = bench(1);
    let (culvert, file) = (programs().culvert, bench.lab.file("culvert.toml"));
    let command = [culvert.to_str().unwrap(), "doctor", "--json", "--config", file.to_str().unwrap()];
    let report = report(&bench.lab.gateway().output(&command, PATIENCE).unwrap());
    for (id, about, found) in [
        ("port-device", "port wan", "interface wan0 is there"),
        ("port-driver", "port lan", "librte_net_af_packet.so"),
        ("port-link", "port wan", "wan0 has a link"),
        ("port-addresses", "port lan", "none on lan0"),
    ] {
        let checks = of(&report, id);
        let check = checks.iter().find(|check| check["about"] == about).unwrap();
        assert!(check["verdict"] == "ok" && check["found"].as_str().unwrap().contains(found), "{check}");
    }
    assert_ne!(report["verdict"], "fail", "{report}");
    // And by one whose interface is not there, it does.
    let broken = std::fs::read_to_string(&file).unwrap().replace("iface=wan0", "iface=wan7");
    std::fs::write(&file, broken).unwrap();
    let report = self::report(&bench.lab.gateway().output(&command, PATIENCE).unwrap());
    assert_eq!((&report["verdict"], &of(&report, "port-device")[0]["verdict"]), (&"fail".into(), &"fail".into()));
    bench.finish();
}

/// The namespaces of README's walk-through, removed with all that runs there.
struct Walk;

impl Drop for Walk {
    fn drop(&mut self) {
        let script = "for n in client gw host; do ip netns pids culvert-$n 2>/dev/null | xargs -r kill -9; \
            ip netns delete culvert-$n 2>/dev/null; done; true";
        output(&["sh", "-c", script], PATIENCE).unwrap();
    }
}

/// From `culvert setup` to a working gateway by README alone: its own lines, as they stand.
#[test]
fn the_walk_through_of_the_readme_works() {
    let readme = include_str!("../../README.md");
    let start = readme.find("<!-- tried by tests/live/doctor.rs -->").unwrap();
    let block = readme[start..].split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("walk.sh");
    std::fs::write(&script, block).unwrap();
    let programs = programs().culvert;
    let path = format!("PATH={}:{}", programs.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let _walk = Walk;
    let folder_of = format!("cd {} && exec sh -e walk.sh", folder.path().display());
    let walked = output(&["env", &path, "sh", "-c", &folder_of], Duration::from_secs(90)).unwrap();
    assert_eq!(walked.code, 0, "{}\n{}", walked.out, walked.err);
    assert!(walked.out.contains("3 packets transmitted, 3 received, 0% packet loss"), "{}", walked.out);
}

//! The configuration as a whole, and DPDK's release.

use super::{Check, Configuration, Finding, Mend, Subject, without_configuration};

pub(super) static CONFIGURATION: Check = Check {
    id: "configuration",
    looks_at: "whether culvertd would take the configuration",
    why: "culvertd does not start with one that it does not understand",
    run: configuration,
};

pub(super) static DPDK_VERSION: Check = Check {
    id: "dpdk-version",
    looks_at: "the release of DPDK that is installed, against the one that culvert was built for",
    why: "another release lays its structures out differently: packets would be read at wrong offsets",
    run: dpdk_version,
};

fn configuration(subject: &Subject<'_>) -> Vec<Finding> {
    let system = subject.system;
    let config = match subject.configuration {
        Configuration::None => return without_configuration(),
        Configuration::Bad(_, error) => {
            let mend = Mend::advice(system.shown_text(error.mend()));
            return vec![Finding::fail(system.shown_text(&error.sentence())).mend(mend)];
        }
        Configuration::Read(_, config) => config,
    };
    match config.check(&system.machine) {
        Err(error) => {
            let found = system.shown_text(&error.sentence());
            vec![Finding::fail(found).mend(Mend::advice(error.mend()))]
        }
        Ok(warnings) if warnings.is_empty() => {
            let (ports, interfaces) = (config.ports.len(), config.interfaces.len());
            let counted = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
            vec![Finding::ok(format!("{}, {}", counted(ports, "port"), counted(interfaces, "interface")))]
        }
        Ok(warnings) => {
            let finding = |warning: &crate::config::Warning| {
                Finding::warning(system.shown_text(&warning.sentence())).mend(Mend::advice(warning.mend()))
            };
            warnings.iter().map(finding).collect()
        }
    }
}

fn dpdk_version(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(dpdk) = &subject.system.dpdk else {
        return vec![Finding::not_applicable("this culvert was built without DPDK")];
    };
    let (built, found) = (&dpdk.built, &dpdk.found);
    // `DPDK 22.11.11` is a release of 22.11.
    let number = found.trim_start_matches("DPDK ");
    let same = number.strip_prefix(built.as_str()).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
    vec![match same {
        true => Finding::ok(format!("{found}, built for {built}")),
        false => Finding::fail(format!("{found}, but culvert was built for {built}")).mend(Mend::advice(format!(
            "Install DPDK {built}, or build culvert on this machine: cargo build --release"
        ))),
    }]
}

//! A gateway that goes and comes again: clients find back by themselves.

use crate::bench::{Bench, RECOVERY, bench, peers, pings, programs, start};
use culvert::cli::lab::{HOST_V4, Options};

#[test]
fn clients_find_back_after_a_restart() {
    let before = bench(2);
    pings(before.client(1).namespace(), HOST_V4);
    pings(before.client(2).namespace(), HOST_V4);
    let Bench { gateway, lab } = before;
    gateway.stop().unwrap();
    let known = peers(&lab);
    let after = start(lab, &Options::default(), &known);
    back(after);
}

#[test]
fn clients_find_back_after_a_crash() {
    let before = bench(2);
    pings(before.client(1).namespace(), HOST_V4);
    pings(before.client(2).namespace(), HOST_V4);
    let Bench { gateway, lab } = before;
    gateway.kill();
    // Its sockets are still there: the next one takes their place.
    let known = peers(&lab);
    let after = start(lab, &Options::default(), &known);
    back(after);
}

fn back(bench: Bench) {
    for number in [1, 2] {
        bench.comes_back(bench.client(number).namespace(), HOST_V4, RECOVERY);
        pings(bench.client(number).namespace(), HOST_V4);
    }
    bench.finish();
}

#[test]
fn a_second_gateway_of_the_same_name_is_refused() {
    let bench = bench(1);
    let config = bench.lab.file("culvert.toml");
    let refused = culvert::cli::lab::Gateway::refused(&bench.lab, &programs(), &config).unwrap();
    assert_eq!(refused.code, 2, "{}", refused.err);
    // The first one does not notice.
    pings(bench.client(1).namespace(), HOST_V4);
    bench.finish();
}

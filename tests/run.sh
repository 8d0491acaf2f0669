#!/bin/sh
# All checks, as named steps with their time; goes on after a failure and sums up at the end. Exit code 1 if any failed.
#   tests/run.sh              all of them
#   tests/run.sh clippy live  these
# What a step says goes to target/test-logs/, and here if it fails. CULVERT_LONG=1 makes some tests long, CULVERT_CHURN_SECONDS=600 the live churn.
set -u
cd "$(dirname "$0")/.."

LOGS=target/test-logs
STEPS='rules format clippy clippy-without-dpdk fuzz-check doc unit live matrix demo deb loom miri deny ansible'
# In the long run (CULVERT_LONG=1), or by name.
LONG_STEPS='asan'
# Seconds that the nightly toolchain may take to come, and each of Miri's runs.
FETCH=300
MIRI=420

mkdir -p $LOGS
results=''
failures=0
began=$(date +%s)

loud() { printf '\n!!! SKIPPED: %s\n\n' "$*"; }

# Runs step $1. Its function is step_$1; exit code 77 says that it could not run here.
run() {
    log=$LOGS/$1.log
    start=$(date +%s)
    printf '== %-20s ' "$1"
    rc=0
    # A shell of its own: what a step exports ends with it.
    ("step_$(echo "$1" | tr - _)") >"$log" 2>&1 || rc=$?
    seconds=$(($(date +%s) - start))
    case $rc in
    0) word=ok ;;
    77)
        word=SKIPPED
        loud "$1: $(tail -n 1 "$log")"
        ;;
    *)
        word=FAILED
        failures=$((failures + 1))
        printf '\n'
        tail -n 120 "$log"
        printf '== %-20s ' "$1"
        ;;
    esac
    # The table that the tests print.
    if [ "$1" = matrix ]; then
        printf '\n'
        sed -n 's/^ *| /    /p' "$log"
        printf '== %-20s ' "$1"
    fi
    facts=$(facts_of "$log")
    printf '%-7s %4d s  %s\n' "$word" "$seconds" "$facts"
    results="$results$(printf '%-20s %-7s %4d s  %s' "$1" "$word" "$seconds" "$facts")
"
}

# The one line of a log that says how much was checked.
facts_of() {
    grep -aE '^ *Summary|^test result|^demo: |^ansible: |^found|^ *ok  TCP' "$1" |
        sed 's/^ *Summary \[[^]]*\] //; s/^ *ok  //' | awk '/^found/ { n++; next } { last = $0 }
            /tests run|test result|TCP/ { all = all sep $0; sep = "; " }
            END { if (n) all = all sep n " seeded bugs found"; print all ? all : last }' | cut -c1-160
}

step_rules() { tests/rules.sh; }

step_format() { cargo fmt --all --check; }

step_clippy() { cargo clippy --workspace --all-targets --locked -- -D warnings; }

step_clippy_without_dpdk() { cargo clippy --no-default-features --all-targets --locked -- -D warnings; }

# The fuzzers are a package of their own, which nothing else here builds. A check links nothing: it needs neither nightly nor C++.
step_fuzz_check() {
    CUSTOM_LIBFUZZER_PATH=/nowhere/libfuzzer.a cargo check --manifest-path tests/fuzz/Cargo.toml --locked --target-dir target
}

step_doc() { RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --workspace --locked; }

# Units, oracles, and the gateway's insides over net_ring and net_null.
step_unit() { cargo nextest run --workspace --locked --no-fail-fast -E 'not binary(live)'; }

# With real clients, in network namespaces.
step_live() { live 'not test(/^(matrix|mistakes)::/)'; }

# Others' WireGuard as clients in all roles, and the mistakes of others tried on culvertd and on one that makes them.
step_matrix() { live 'test(/^(matrix|mistakes)::/)' --success-output immediate; }

live() {
    if [ "$(id -u)" != 0 ]; then
        export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER='sudo --preserve-env'
    fi
    cargo nextest run --locked --no-fail-fast --test live -E "$@"
}

# With the binaries of the live tests: a release build would take as long as all of them.
step_demo() {
    cargo build --locked || return 1
    if [ "$(id -u)" = 0 ]; then target/debug/culvert demo; else sudo target/debug/culvert demo; fi
}

# The Debian package, of the same build, on an overlay of this machine; and what systemd makes of its unit.
step_deb() { tests/deb.sh; }

# All interleavings of the queues' models, and the proof that they bite.
step_loom() {
    if [ -x tests/seeded_bugs.sh ]; then
        tests/seeded_bugs.sh
    else
        RUSTFLAGS='--cfg loom' CARGO_TARGET_DIR=target/loom CARGO_PROFILE_RELEASE_LTO=off \
            cargo test --release --no-default-features --lib queue::
    fi
}

step_miri() {
    if ! cargo +nightly miri --version; then
        command -v rustup || { echo 'there is no rustup, so no Miri'; return 77; }
        timeout $FETCH rustup toolchain install nightly --profile minimal --component miri,rust-src ||
            { echo 'rustup could not get nightly with miri and rust-src'; return 77; }
    fi
    export CARGO_TARGET_DIR=target/miri
    cargo +nightly miri setup || { echo 'Miri could not build its standard library'; return 77; }
    # The queues are where unsafe code stands that Miri can run: all of it once, and in the long run what has threads in many ways.
    miri '' queue:: || return
    [ -z "${CULVERT_LONG:-}" ] ||
        miri -Zmiri-many-seeds=0..16 queue::mpsc_tests::poll queue::inbox_tests::inbox queue::flow_models \
            queue::published::models queue::seqlock::tests::never
}

# Tests under Miri, with the flags $1.
miri() {
    flags=$1
    shift
    MIRIFLAGS="-Zmiri-disable-isolation $flags" timeout $MIRI \
        cargo +nightly miri test --no-default-features --lib --locked -- "$@" && return 0
    rc=$?
    # Loom is the gate; Miri sees as much as the time allows.
    [ $rc != 124 ] || { echo "Miri found nothing in $MIRI s, and was not done"; return 77; }
    return $rc
}

# Peers and packets that go while others hold them, over heap packets: what is used after it was freed ends the test.
step_asan() {
    if ! cargo +nightly --version; then
        command -v rustup || { echo 'there is no rustup, so no nightly, which AddressSanitizer needs'; return 77; }
        timeout $FETCH rustup toolchain install nightly --profile minimal ||
            { echo 'rustup could not get nightly, which AddressSanitizer needs'; return 77; }
    fi
    host=$(rustc -vV | sed -n 's/^host: //p')
    export CARGO_TARGET_DIR=target/asan RUSTFLAGS='-Zsanitizer=address'
    # With a target, build scripts and macros go without it. The queues by themselves are Miri's.
    cargo +nightly test --locked --no-default-features --target "$host" --test gateway -- \
        removal:: reload:: queues:: indexes:: keypairs:: allocations::
}

step_deny() {
    command -v cargo-deny >/dev/null || { echo 'cargo-deny is not installed (cargo install cargo-deny --locked)'; return 77; }
    cargo deny --offline check bans licenses sources
}

# The playbooks without a machine of their own; `make test-deploy` is the other half.
step_ansible() { tests/ansible.sh; }

for step in ${*:-$STEPS${CULVERT_LONG:+ $LONG_STEPS}}; do
    case " $STEPS $LONG_STEPS " in
    *" $step "*) run "$step" ;;
    *)
        echo "there is no step $step; there are $STEPS $LONG_STEPS" >&2
        exit 2
        ;;
    esac
done

minutes=$((($(date +%s) - began + 59) / 60))
printf '\n%s' "$results"
if [ $failures = 0 ]; then
    echo "test: ok, in $minutes min"
else
    echo "test: FAILED: $failures steps, in $minutes min"
    exit 1
fi

#!/bin/sh
# Searches with libFuzzer for inputs that break a property, each target for so many seconds. Exit code 1 if one did.
#   tests/fuzz/run.sh                     all targets, 300 s each
#   tests/fuzz/run.sh 60 uapi config      these, 60 s each
# It needs nightly, cargo-fuzz and a C++ compiler (configs/setup.sh fuzz), gets the first two if it can, and else skips with a
# loud line. What it finds of new coverage is kept in target/fuzz/corpus, what breaks in tests/fuzz/artifacts: that becomes a
# seed in tests/fuzz/corpus, which `make test` runs. The ordinary test `fuzz` runs the same bodies without any of this.
set -u
cd "$(dirname "$0")/../.."

SECONDS_EACH=${1:-300}
[ $# = 0 ] || shift
TARGETS=${*:-$(ls tests/fuzz/corpus)}
# Seconds that the tools may take to come.
FETCH=900

skip() {
    printf '\n!!! SKIPPED: fuzz: %s\n\n' "$*"
    exit 0
}

if ! cargo +nightly --version >/dev/null 2>&1; then
    command -v rustup >/dev/null || skip 'there is no nightly toolchain, and no rustup to get it'
    timeout $FETCH rustup toolchain install nightly --profile minimal || skip 'rustup could not get nightly'
fi
command -v c++ >/dev/null || skip 'there is no C++ compiler, which libFuzzer needs (configs/setup.sh fuzz)'
if ! cargo fuzz --version >/dev/null 2>&1; then
    timeout $FETCH cargo install cargo-fuzz --locked || skip 'cargo-fuzz could not be installed'
fi

fuzz() {
    command=$1
    shift
    cargo +nightly fuzz "$command" --fuzz-dir tests/fuzz --target-dir target/fuzz "$@"
}

fuzz build || exit 1
failed=''
for target in $TARGETS; do
    mkdir -p "target/fuzz/corpus/$target"
    dictionary=tests/fuzz/$target.dict
    [ -f "$dictionary" ] && dictionary=-dict=$dictionary || dictionary=
    echo "== $target, $SECONDS_EACH s"
    # shellcheck disable=SC2086 # one word or none
    fuzz run "$target" "target/fuzz/corpus/$target" "tests/fuzz/corpus/$target" -- \
        -max_total_time="$SECONDS_EACH" -max_len=4096 -timeout=10 -print_final_stats=1 $dictionary >"target/fuzz/$target.log" 2>&1 ||
        { failed="$failed $target"; tail -n 40 "target/fuzz/$target.log"; continue; }
    grep -aE '^stat::(number_of_executed_units|average_exec_per_sec)|cov: .*DONE' "target/fuzz/$target.log"
done
[ -z "$failed" ] || { echo "fuzz: FAILED:$failed (the inputs are in tests/fuzz/artifacts)"; exit 1; }
echo 'fuzz: no finding'

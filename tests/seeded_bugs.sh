#!/bin/sh
# The proof that the loom models bite: each seeded bug must make its named model fail, and without one all must pass.
#
# usage: tests/seeded_bugs.sh          (from the top of the repository; two preemptions, see LOOM_MAX_PREEMPTIONS)
set -eu

# bug   model that must fail                                     what is weakened
table='
a1      mpsc_tests::poll_2x1                                     link store Relaxed
a2      mpsc_tests::poll_2x1                                     link load Relaxed
a3      mpsc_tests::poll_2x1                                     head exchange Relaxed
c0      mpsc_tests::poll_2x1                                     stub handed out
c1      mpsc_tests::poll_2x2                                     stub inserted twice
c2      mpsc_tests::poll_2x2                                     stub with a stale link
c3      mpsc_tests::poll_1x2                                     head set by a store, stub not put back
w1      intake::tests::nothing_is_lost_between_load_and_exchange elements pushed without Release
w2      flow_models::wake_1x2                                    pushed to an idle direction without Acquire
w3      intake::tests::claims_in_turn                            word loaded Relaxed
w4      intake::tests::nothing_is_lost_between_load_and_exchange word set by a store
w5      intake::tests::claims_in_turn                            made idle without Release
w6      intake::tests::nothing_is_lost_between_load_and_exchange what comes meanwhile taken in without Acquire
w7      flow_models::wake_without_a_push                         a wake-up that finds it scheduled writes nothing
t1      flow_models::tickets_keep_the_order_over_two_workers     turn passed Relaxed
r1      flow_models::removal_while_it_is_posted                  no grace period before the drain
r2      flow_models::removal_while_a_worker_drains               no grace period before the free
p1      published::models::come_online                           a reader comes online without its fence
p2      published::models::publish                               one reader is not waited for
p3      published::models::another_polls                         done read without Acquire
p4      published::models::report                                a report without Release
p5      published::models::come_online                           a grace period starts without its fence
q1      records::tests::what_is_popped_was_pushed_whole_and_in_order said to be there before it is
s1      seqlock::tests::never_torn                               the reader does not look again
s2      seqlock::tests::never_torn                               the fence of the writer is missing
'

export RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_DEBUG=0
build='cargo test --release --no-default-features --lib'

echo "== build"
models=$($build --no-run 2>&1 | tee /dev/stderr | sed -n 's/.*Executable unittests .*(\(.*\))$/\1/p')
test -x "$models"

log=$(mktemp)
trap 'rm -f "$log"' EXIT

echo "== no bug"
env -u CULVERT_SEEDED_BUG RUST_BACKTRACE=0 "$models" queue:: >"$log" 2>&1 || { cat "$log"; exit 1; }
tail -n 2 "$log"

failed=0
while read -r bug model what; do
    test -n "$bug" || continue
    rc=0
    # A model that no longer terminates counts as not found.
    CULVERT_SEEDED_BUG=$bug RUST_BACKTRACE=0 timeout 120 "$models" --exact "queue::$model" >"$log" 2>&1 || rc=$?
    # 101: the harness reports a failed test. It must have run that one test.
    if [ "$rc" -eq 101 ] && grep -q '^test result: FAILED. 0 passed; 1 failed' "$log"; then
        echo "found   $bug  $model ($what)"
    else
        echo "MISSED  $bug  $model ($what): exit $rc"
        tail -n 5 "$log"
        failed=1
    fi
done <<EOF
$table
EOF
exit $failed

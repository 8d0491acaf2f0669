#!/bin/sh
# The deployment, for real: two machines of systemd-nspawn, each an overlay of this one with a systemd of its own, get the package by
# configs/ansible; clients of wireguard-go send traffic through them meanwhile. Prints what took how long, and what was lost.
#   tests/deploy/run.sh                     builds the package first (CULVERT_PROFILE=dev: of the development build)
#   CULVERT_DEB=FILE tests/deploy/run.sh    with a package that there is
#
#      client (wireguard-go)                                           host
#        eth-a 192.0.2.2 ------ wan [ gateway-a ] lan 10.10.0.1 ------ lan-a 10.10.0.2
#        eth-b 198.51.100.2 --- wan [ gateway-b ] lan 10.11.0.1 ------ lan-b 10.11.0.2
#
# All of it is in a mount and a PID namespace, which end with this script. Root, or sudo. Exit code 77: what this needs is not here.
set -eu
self=$(realpath "$0")
cd "$(dirname "$self")/../.."

# Two runs at once have their own.
CGROUP=${2:-culvert-deploy-$$}
LOGS=$PWD/target/deploy

skip() { echo "deploy: $*"; exit 77; }

# The machines' own, once their processes are gone: 5 s at most.
remove_cgroups() {
    tries=0
    while [ -n "$(find /sys/fs/cgroup -type d -name "$CGROUP-*" 2>/dev/null)" ] && [ $tries -lt 25 ]; do
        [ $tries = 0 ] || sleep 0.2
        tries=$((tries + 1))
        ${as_root:+sudo} find /sys/fs/cgroup -depth -type d -path "*/$CGROUP-*" -exec rmdir {} + 2>/dev/null || true
    done
}

if [ "${1:-}" != inside ]; then
    for program in ansible-playbook systemd-nspawn wireguard-go wg ethtool ping dpkg-deb; do
        command -v $program >/dev/null || skip "there is no $program (configs/setup.sh deploy)"
    done
    mkdir -p "$LOGS"
    if [ -z "${CULVERT_DEB:-}" ]; then
        configs/debian/build.sh
        CULVERT_DEB=$(find target/debian -name 'culvert_*.deb' -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2)
    fi
    CULVERT_DEB=$(realpath "$CULVERT_DEB")
    export CULVERT_DEB
    as_root=
    [ "$(id -u)" = 0 ] || as_root='sudo --preserve-env=CULVERT_DEB'
    trap remove_cgroups EXIT
    # dash leaves the other one out when a signal ends it.
    trap 'exit 130' INT TERM
    rc=0
    $as_root unshare --mount --pid --fork --kill-child --mount-proc "$self" inside "$CGROUP" || rc=$?
    exit $rc
fi

# shellcheck source=tests/deploy/lab.sh
. tests/deploy/lab.sh
# shellcheck source=tests/deploy/steps.sh
. tests/deploy/steps.sh

make_lab
step 'two machines boot' boot_machines
step 'site.yml: both from nothing' first_apply
step 'tunnels carry traffic' traffic
step 'site.yml again: changed=0' second_apply
step 'a peer more, by a reload' change_peers
step 'another setting, by a restart' change_cores
step 'refused: all is as it was' refused
step 'culvertd killed: back by itself' kill_gateway
step 'culvertd stopped: the watchdog' stop_gateway
step 'rolling.yml: upgrade of both' upgrade
step 'rolling.yml: a bad package' bad_upgrade
step 'remove.yml, and purge' remove
report

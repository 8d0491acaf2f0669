#!/bin/sh
# Makes a Debian machine ready to build, show and test culvert. A second call changes nothing and takes no time.
#   configs/setup.sh         what `make build` and `make demo` need
#   configs/setup.sh test    what `make test` needs beside it
#   configs/setup.sh deb     what `make deb` needs beside it
#   configs/setup.sh deploy  what `make test-deploy` needs beside it
#   configs/setup.sh fuzz    what `make fuzz` needs beside it
# CULVERT_HUGE_PAGES=N reserves N huge pages of 2 MiB instead of 256; 0 leaves them alone.
set -eu

PACKAGES='
    gcc make pkg-config libclang-dev libc6-dev
    libdpdk-dev librte-meta-bus librte-meta-mempool librte-meta-net libipsec-mb-dev
    wireguard-go wireguard-tools
    curl ethtool iperf3 iproute2 iputils-ping util-linux'
RUST=1.95
CARGO_DEB=3.8.0

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

may_be_root() {
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null
}

missing_packages() {
    for package in $PACKAGES; do echo "$package"; done | sort >"$work/wanted"
    # shellcheck disable=SC2086 # a list of words
    dpkg-query -W -f='${db:Status-Status} ${binary:Package}\n' $PACKAGES 2>/dev/null |
        sed -n 's/^installed \([^:]*\).*/\1/p' | sort >"$work/there"
    comm -23 "$work/wanted" "$work/there"
}

install_packages() {
    missing=$(missing_packages | tr '\n' ' ')
    [ -n "$missing" ] || return 0
    may_be_root || fail "these packages are missing, and you are not root: apt-get install $missing"
    say "installs $missing"
    # A fresh machine has no lists; a stale one has lists of packages that are gone.
    if ! ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1; then as_root apt-get -q update; fi
    # shellcheck disable=SC2086 # a list of words
    apt_install $missing || { as_root apt-get -q update && apt_install $missing; } ||
        fail "apt-get could not install $missing: mend that and call again"
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install "$@"
}

check_rust() {
    command -v cargo >/dev/null || fail "there is no cargo: install Rust $RUST or newer, see https://rustup.rs"
    has=$(cargo --version | sed 's/cargo \([0-9]*\.[0-9]*\).*/\1/')
    oldest=$(printf '%s\n%s\n' "$RUST" "$has" | sort -V | head -n1)
    [ "$oldest" = "$RUST" ] || fail "Rust $has is too old: culvert needs $RUST (rustup update stable)"
}

# A program from the package of this name, or of the second one; what needs it is skipped with a loud line without it.
optional_package() {
    if command -v "$1" >/dev/null || ! may_be_root; then return 0; fi
    package=${2:-$1}
    say "installs $package"
    apt_install "$package" || { as_root apt-get -q update && apt_install "$package"; } || say "$package could not be installed"
}

test_tools() {
    # For one live test.
    optional_package tshark
    # The shell on a screen, and the manual page.
    optional_package tmux
    # What completes in them.
    optional_package zsh
    optional_package fish
    optional_package groff groff-base
    # The playbooks' checks.
    optional_package ansible-playbook ansible
    optional_package ansible-lint
    dpdk_programs
    promtool
    deb_tools
    if ! cargo nextest --version >/dev/null 2>&1; then
        say "builds cargo-nextest (once, some minutes)"
        cargo install cargo-nextest --locked
    fi
    for tool in clippy rustfmt; do
        name="cargo-$(echo "$tool" | sed 's/rustfmt/fmt/')"
        command -v "$name" >/dev/null && "$name" --version >/dev/null 2>&1 || rustup component add "$tool"
    done
}

# cargo-deb, into target/tools; lintian is for the test of what it makes.
deb_tools() {
    optional_package dpkg-shlibdeps dpkg-dev
    optional_package lintian
    tools=$(cd "$(dirname "$0")/.." && pwd)/target/tools
    [ "$("$tools/bin/cargo-deb" --version 2>/dev/null)" != "cargo-deb $CARGO_DEB" ] || return 0
    say "builds cargo-deb $CARGO_DEB (once, some minutes)"
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_TARGET_DIR="$work/build" \
        cargo install --quiet --locked --root "$tools" --force "cargo-deb@$CARGO_DEB" || fail "cargo-deb could not be built"
}

# Of the package dpdk-dev two programs that ours are compared with.
dpdk_programs() {
    bin=$(cd "$(dirname "$0")/.." && pwd)/target/tools/bin
    for program in dpdk-telemetry.py dpdk-testpmd; do
        if [ -x "$bin/$program" ] || [ -x "/usr/bin/$program" ]; then continue; fi
        say "gets $program"
        mkdir -p "$bin"
        (cd "$work" && { [ -e dpdk-dev_*.deb ] || apt-get -q download dpdk-dev; } &&
            dpkg-deb --fsys-tarfile dpdk-dev_*.deb | tar -xO "./usr/bin/$program" >"$program" &&
            chmod 755 "$program" && mv "$program" "$bin") || say "$program could not be got"
    done
}

# Of the package prometheus its checker alone, into target/tools: installed, the package would start a server.
promtool() {
    bin=$(cd "$(dirname "$0")/.." && pwd)/target/tools/bin
    if [ -x "$bin/promtool" ] || [ -x /usr/bin/promtool ]; then return 0; fi
    say "gets promtool"
    mkdir -p "$bin"
    (cd "$work" && apt-get -q download prometheus && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xO ./usr/bin/promtool >promtool &&
        chmod 755 promtool && mv promtool "$bin") || say "promtool could not be got"
}

# Other people's WireGuard programs. What cannot be built is left out, and its tests say so.
peer_tools() {
    tools=$(dirname "$0")/../tests/tools.sh
    [ ! -x "$tools" ] || "$tools"
}

# Huge pages make culvertd faster; it does without. Only where they take no memory that others need.
reserve_huge_pages() {
    wanted=${CULVERT_HUGE_PAGES:-256}
    count=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
    [ -r $count ] && [ "$(cat $count)" -lt "$wanted" ] || return 0
    free=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
    # Four times as much has to be there as is taken.
    if [ "${free:-0}" -lt $((wanted * 2048 * 4)) ] || ! may_be_root; then
        say "reserves no huge pages; culvertd runs without"
        return 0
    fi
    as_root sh -c "echo $wanted 2>/dev/null >$count" || true
    say "reserved $(cat $count) huge pages of 2 MiB"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v dpkg-query >/dev/null || fail "this is no Debian: install the packages yourself:" $PACKAGES
install_packages
check_rust
case ${1:-} in
test)
    test_tools
    peer_tools
    ;;
deb) deb_tools ;;
deploy)
    deb_tools
    optional_package ansible-playbook ansible
    [ -x /usr/lib/systemd/systemd ] || optional_package systemd
    optional_package systemd-nspawn systemd-container
    # In the machines: what systemd is asked by, and what Ansible asks apt by.
    optional_package dbus-daemon dbus
    [ -e /usr/lib/python3/dist-packages/apt/__init__.py ] || optional_package python3-apt
    ;;
# libFuzzer is C++; tests/fuzz/run.sh gets the rest by cargo.
fuzz) optional_package c++ g++ ;;
esac
reserve_huge_pages

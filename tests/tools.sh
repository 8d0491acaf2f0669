#!/bin/sh
# Other people's WireGuard programs, to test against and to compare with, built by cargo into target/tools.
#   tests/tools.sh            boringtun-cli and gotatun-cli
#   tests/tools.sh boringtun  the one alone
# What is there already takes no time. One that cannot be built is left out, loudly: the tests say so, too.
set -eu
cd "$(dirname "$0")/.."

BORINGTUN=0.7.1
GOTATUN=0.10.2

root=$(pwd)/target/tools
mkdir -p "$root"

# Crate $1, version $2, program $3; the rest is for cargo.
install() {
    crate=$1 version=$2 program=$3
    shift 3
    [ ! -x "$root/bin/$program" ] || [ "$(cat "$root/$crate.version" 2>/dev/null)" != "$version" ] || return 0
    echo "tools: builds $crate $version (once, some minutes)"
    start=$(date +%s)
    # What builds quickest and is still optimised: they encrypt.
    if CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=2 \
        CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_TARGET_DIR="$root/build" \
        cargo install --quiet --root "$root" --force --locked "$crate@$version" "$@" >"$root/$crate.log" 2>&1; then
        echo "$version" >"$root/$crate.version"
        echo "tools: built $crate $version in $(($(date +%s) - start)) s"
    else
        tail -n 5 "$root/$crate.log"
        printf '\n!!! tools: %s %s could not be built: the tests against it are SKIPPED\n\n' "$crate" "$version"
    fi
}

[ $# -gt 0 ] || set -- boringtun gotatun
for tool; do
    case $tool in
    boringtun) install boringtun-cli $BORINGTUN boringtun-cli ;;
    # With ring: its other cipher library takes minutes of C to build.
    gotatun) install gotatun-cli $GOTATUN gotatun --no-default-features --features ring ;;
    *) echo "tools: there is no $tool: boringtun, gotatun" >&2; exit 1 ;;
    esac
done
rm -rf "$root/build"

#!/bin/sh
# Builds the Debian package, target/debian/culvert_VERSION_ARCHITECTURE.deb, and prints its name: `make deb`.
#   CULVERT_PROFILE=dev     of the development build, for tests
#   CULVERT_REVISION=2      the number after the version, 1
#   DEBFULLNAME, DEBEMAIL   who maintains it
set -eu
cd "$(dirname "$0")/../.."

profile=${CULVERT_PROFILE:-release}
case $profile in
dev) built=target/debug ;;
*) built=target/$profile ;;
esac
stage=target/package

fail() { echo "deb: $*" >&2; exit 1; }

cargo_deb=target/tools/bin/cargo-deb
[ -x $cargo_deb ] || cargo_deb=$(command -v cargo-deb) || fail "there is no cargo-deb: configs/setup.sh deb builds it"

# The licences of all crates that are linked in, each with its name and version.
third_party() {
    cargo metadata --locked --offline --format-version 1 | tr ',' '\n' | sed -n 's/^"manifest_path":"\(.*\)\/Cargo.toml"$/\1/p' >"$stage/folders"
    cargo tree --locked --offline --edges normal --prefix none --no-dedupe --format '{p}|{l}' | sort -u |
        while IFS='|' read -r crate licence; do
            name=$(echo "$crate" | sed 's/ v\([^ ]*\).*/-\1/')
            folder=$(grep "/$name\$" "$stage/folders") || continue
            printf '\n==== %s: %s\n\n' "$name" "$licence"
            find "$folder" -maxdepth 1 -type f \( -iname 'LICEN[CS]E*' -o -iname 'COPYING*' -o -iname 'NOTICE*' -o -iname 'COPYRIGHT*' \) \
                ! -iname '*APACHE*' | sort | xargs -r cat
        done
    rm "$stage/folders"
}

cargo build --locked --profile "$profile" --bins
rm -rf $stage
mkdir -p $stage
for program in culvertd culvert; do
    strip --strip-unneeded -o "$stage/$program" "$built/$program"
done
$stage/culvert man >$stage/culvert.1
$stage/culvert man culvertd >$stage/culvertd.8
$stage/culvert man culvert.toml >$stage/culvert.toml.5
for shell in bash zsh fish; do
    $stage/culvert completions $shell >"$stage/culvert.$shell"
done
third_party | gzip -9n >$stage/third-party.txt.gz

version=$(sed -n 's/^culvert (\(.*\)-[0-9]*).*/\1/p' configs/debian/changelog | head -n 1)
cargo metadata --locked --offline --no-deps --format-version 1 | grep -q "\"name\":\"culvert\",\"version\":\"$version\"" ||
    fail "configs/debian/changelog speaks of version $version, Cargo.toml of another"

set -- --no-build --deb-revision "${CULVERT_REVISION:-1}"
[ -z "${DEBEMAIL:-}" ] || set -- "$@" --maintainer "${DEBFULLNAME:-culvert} <$DEBEMAIL>"
[ "$profile" = release ] || set -- "$@" --fast
$cargo_deb "$@"

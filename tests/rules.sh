#!/bin/sh
# The project's own rules that no compiler checks: file length, who names the bindings, where unsafe stands, who may use
# whom, that each line of the protocol and each mistake of others has its test. Prints what breaks them; exit code 1 if
# anything does.
set -eu
cd "$(dirname "$0")/.."

LONGEST=600
broken=$(mktemp)
trap 'rm -f "$broken"' EXIT

rust_files() { find src dpdk tests build.rs -name '*.rs' 2>/dev/null | sort; }

# A file without its comments and strings' worth of prose: "file:line:code".
code_of() {
    awk '{ code = $0; sub(/\/\/.*/, "", code); if (code ~ /[^ ]/) print FILENAME ":" FNR ":" code }' "$@"
}

# Lines of code that match $1, in the files that are no match of $2.
outside() {
    rust_files | grep -vE "$2" | while read -r file; do code_of "$file"; done | grep -E "$1" || true
}

# 1. A file is read in one sitting.
rust_files | while read -r file; do
    lines=$(wc -l <"$file")
    [ "$lines" -le $LONGEST ] || echo "$file: $lines lines, where $LONGEST are the most"
done >>"$broken"

# 2. Only the wrappers name the bindings.
outside '\bdpdk_sys\b' '^(src/)?dpdk/' | sed 's/$/   <- dpdk_sys outside of the fence/' >>"$broken"

# 3. unsafe stands in the fences, and in the tests of the fence.
outside '\bunsafe\b' '^(src/(dpdk|queue)/|src/aead/simd|dpdk/|tests/dpdk/)' | grep -vE 'unsafe_(code|op_in)' |
    sed 's/$/   <- unsafe outside of the fences/' >>"$broken"

# 4. Who may use whom: "module: modules". Tests may do as they like.
while IFS=: read -r module allowed; do
    [ -n "$module" ] || continue
    [ -d "src/$module" ] || continue
    allowed=$(echo "$module $allowed" | sed 's/  */|/g; s/|$//')
    find "src/$module" -name '*.rs' ! -name '*tests.rs' ! -path '*/tests/*' | sort | while read -r file; do
        # Inline tests stand last.
        sed '/^#\[cfg(test)\]/,$d' "$file" | awk -v file="$file" '{ sub(/\/\/.*/, ""); print file ":" NR ":" $0 }'
    done | grep -oE '^[^:]*:[0-9]*:|\bcrate::(\{|[a-z_]+)' |
        awk -v allowed="^crate::($allowed)\$" '
            /^[^:]*:[0-9]*:$/ { place = $0; next }
            $0 == "crate::{" { print place " crate::{ hides who is used: write one use a module" }
            $0 !~ allowed && $0 != "crate::{" { print place " " $0 " is none of this module'\''s business" }'
done >>"$broken" <<'RULES'
queue:
wire:
frame: queue
aead: wire frame queue noise session dpdk
noise: wire frame queue aead session
session: wire frame queue aead noise
route: wire frame queue
peer: wire frame queue aead noise session route
shared: wire frame queue aead noise session route peer
datapath: wire frame queue aead noise session route peer shared
control: wire frame queue aead noise session route peer shared
dpdk: wire frame queue
config: wire control
api:
cli: config api doctor fwd
metrics: shared
doctor: aead control dpdk config gateway
fwd: api wire frame queue aead noise session peer dpdk gateway
gateway: api wire frame queue aead noise session route peer shared datapath control dpdk config metrics
RULES

# 5. Nothing that only its writer would understand, or that says where it was written.
rust_files | xargs grep -nE '\b(todo|unimplemented)!\(|\bdbg!\(|#\[ignore\]|/(root|work)/' |
    sed 's/$/   <- not in what is handed in/' >>"$broken" || true
rust_files | grep -v '^dpdk/' | xargs grep -nE '#!?\[allow\(' | grep -vF 'allow(unsafe_code)' | sed 's/$/   <- #[expect(…, reason = "…")] instead/' >>"$broken" || true

# 6. Every line of tests/protocol.txt is named by a test that runs, and no test names another: `/// PROTOCOL A5.3, A5.4: …`,
# at the start of a line of its documentation.
rust_files | xargs awk '
    FNR == 1 { ids = ""; is_test = ignored = 0 }
    /^ *\/\/\/ (PROTOCOL|TESTING) A[0-9]/ {
        list = $0
        sub(/^ *\/\/\/ [A-Z]+ /, "", list)
        match(list, /^A[0-9]+(\.[0-9]+)?(, A[0-9]+(\.[0-9]+)?)*/)
        count = split(substr(list, 1, RLENGTH), names, /, /)
        for (i = 1; i <= count; i++) ids = ids FILENAME ":" FNR " " $2 " " names[i] "\n"
        next
    }
    /^ *\/\// || /^ *$/ { next }
    /#\[test\]/ { is_test = 1 }
    /#\[ignore/ { ignored = 1 }
    /^ *#\[/ { next }
    {
        if (!is_test || ignored) gsub(/\n/, " <- named by what is no test\n", ids)
        printf "%s", ids
        ids = ""
        is_test = ignored = 0
    }' | awk '
    NR == FNR { if (/^(PROTOCOL|TESTING) /) due[$1 " " $2] = 1; next }
    NF > 3 { print; next }
    !(($2 " " $3) in due) { print $1 ": " $2 " " $3 " is no line of tests/protocol.txt" }
    { named[$2 " " $3] = 1 }
    END { for (line in due) if (!(line in named)) print "tests/protocol.txt: no test names " line }' tests/protocol.txt - |
    sort >>"$broken"

# 7. Each mistake that other implementations made has its one test: `/// Mistake: NAME.` above it.
rust_files | xargs grep -hoE '/// Mistake: .*' | sed 's/^[/]* Mistake: //; s/\.$//' | sort >"$broken.named"
sort tests/mistakes.txt | comm -3 - "$broken.named" |
    sed 's/^\t\(.*\)/\1   <- a second test of it, or no mistake of tests\/mistakes.txt/; t; s/$/   <- no test has "\/\/\/ Mistake: ….": tests\/mistakes.txt/' >>"$broken"
rm -f "$broken.named"

if [ -s "$broken" ]; then
    cat "$broken"
    exit 1
fi

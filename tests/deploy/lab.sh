# shellcheck shell=sh disable=SC2154 # run.sh's variables
# The machines and the networks between them. Sourced by run.sh, in namespaces of its own.

lab=
results=
doing=

fail() {
    echo "deploy: $*" >&2
    exit 1
}

now_ms() { date +%s%3N; }

seconds() { printf '%d.%d' $(($1 / 1000)) $(($1 % 1000 / 100)); }

# Runs step $1, the function $2. What it says goes to a log, which is shown if it fails; `note` adds to its line of the table.
step() {
    printf '== %-36s ' "$1"
    remark=
    start=$(now_ms)
    # No subshell: steps leave variables. The standard output is the log's, file 3 the terminal's.
    exec 3>&1 4>&2 >"$LOGS/$2.log" 2>&1
    doing=$2
    set -x
    "$2"
    { set +x; } 2>/dev/null
    doing=
    exec >&3 2>&4 3>&- 4>&-
    line=$(printf '%-36s %6s s  %s' "$1" "$(seconds $(($(now_ms) - start)))" "$remark")
    printf '%6s s  %s\n' "$(seconds $(($(now_ms) - start)))" "$remark"
    results="$results$line
"
}

note() { remark="$remark${remark:+, }$*"; }

report() {
    printf '\n%sdeploy: ok\n' "$results"
}

# What was running when it failed, and the machines' last words.
ended() {
    rc=$?
    { set +x; } 2>/dev/null
    trap - EXIT
    if [ -n "${doing:-}" ]; then
        exec >&3 2>&4
        printf 'FAILED\n'
        tail -n 60 "$LOGS/$doing.log"
        for name in a b; do
            [ -z "$(leader $name)" ] || in_machine $name journalctl --no-pager -n 40 -u culvertd || true
        done
        echo "deploy: FAILED in $doing; its log is $LOGS/$doing.log"
        [ $rc != 0 ] || rc=1
    fi
    for name in a b; do
        pid=$(cat "$lab/nspawn-$name" 2>/dev/null) || continue
        # The second ends it at once.
        for _ in 1 2; do kill "$pid" 2>/dev/null || true; sleep 0.2; done
    done
    [ ! -e "$lab/pids" ] || while read -r pid; do kill "$pid" 2>/dev/null || true; done <"$lab/pids"
    sleep 0.5
    umount -R "$lab" 2>/dev/null || umount -lR "$lab" || true
    rmdir "$lab" 2>/dev/null || true
    exit $rc
}

make_lab() {
    lab=$(mktemp -d)
    trap ended EXIT
    trap 'exit 130' INT TERM
    mount -t tmpfs culvert-deploy "$lab"
    # Nothing of these namespaces is seen outside.
    mkdir -p /run/netns /run/wireguard
    mount -t tmpfs culvert-deploy /run/netns
    mount -t tmpfs culvert-deploy /run/wireguard
    make_packages
    for name in client host; do ip netns add $name; done
}

# All of one file name, in folders. 1: as it is; 2: the same as a later version; bad: later still, and its doctor is never content.
make_packages() {
    mkdir "$lab/1" "$lab/2" "$lab/bad"
    cp "$CULVERT_DEB" "$lab/1/culvert.deb"
    version=$(dpkg-deb -f "$CULVERT_DEB" Version)
    repack 2 "$version+2" true
    repack bad "$version+3" spoil
}

repack() {
    dpkg-deb -R "$CULVERT_DEB" "$lab/unpacked"
    sed -i "s/^Version: .*/Version: $2/" "$lab/unpacked/DEBIAN/control"
    $3 "$lab/unpacked"
    dpkg-deb -Zgzip -b "$lab/unpacked" "$lab/$1/culvert.deb" >/dev/null
    rm -r "$lab/unpacked"
}

spoil() {
    mv "$1/usr/bin/culvert" "$1/usr/bin/culvert.well"
    cat >"$1/usr/bin/culvert" <<'SPOILT'
#!/bin/sh
case " $* " in *' --fatal-only '*) exit 0 ;; *' doctor '*) echo 'this package is spoilt'; exit 1 ;; esac
exec /usr/bin/culvert.well "$@"
SPOILT
    chmod 755 "$1/usr/bin/culvert"
    (cd "$1" && find usr etc -type f -exec md5sum {} + >DEBIAN/md5sums)
}

# Process 1 of machine $1, by its number here; nothing if there is none.
leader() {
    pid=$(cat "$lab/nspawn-$1" 2>/dev/null) || return 0
    cut -d' ' -f1 "/proc/$pid/task/$pid/children" 2>/dev/null || true
}

in_machine() {
    machine=$1
    shift
    nsenter --target "$(leader "$machine")" --all -- "$@"
}

# Machine $1: an overlay of this one, with none of its services, and what the role will ask apt for.
make_machine() {
    top=$lab/$1
    mkdir "$top" "$top/upper" "$top/work" "$top/root"
    mount -t overlay culvert-deploy -o "lowerdir=/,upperdir=$top/upper,workdir=$top/work" "$top/root"
    root=$top/root
    : >"$root/etc/machine-id"
    echo "gateway-$1" >"$root/etc/hostname"
    rm -rf "$root"/etc/systemd/system/*.wants "$root"/etc/culvert "$root"/var/lib/culvert "$root"/var/cache/culvert
    # They would change the kernel that the machines share.
    for unit in systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service \
        systemd-sysctl.service systemd-modules-load.service systemd-binfmt.service; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    # Were it installed here, its scripts would find this machine's systemd in /run.
    mount -t tmpfs culvert-deploy "$root/run"
    chroot "$root" dpkg --purge culvert >/dev/null 2>&1 || true
    umount "$root/run"
    # A machine has no network but culvert's: its packages are there before.
    mount --rbind /dev "$root/dev"
    mount -t proc proc "$root/proc"
    DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get -q -y --no-install-recommends --download-only install dpdk pciutils wireguard-tools nftables
    umount -lR "$root/dev" "$root/proc"
    mkdir -p "$root/var/lib/apt/periodic"
    touch "$root/var/lib/apt/periodic/update-success-stamp"
}

boot() {
    # Each in a cgroup of its own.
    # shellcheck disable=SC2153 # it is run.sh's
    (
        for cgroup in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
            [ -w $cgroup/cgroup.procs ] || continue
            mkdir -p "$cgroup/$CGROUP-$1"
            # 0 is whoever writes it.
            echo 0 >"$cgroup/$CGROUP-$1/cgroup.procs"
        done
        # Without its own view of /sys DPDK could not look at the kernel's modules.
        SYSTEMD_NSPAWN_API_VFS_WRITABLE=yes exec systemd-nspawn --quiet --register=no --keep-unit --private-network --boot \
            --directory="$lab/$1/root" --machine="$CGROUP-$1" --console=pipe --bind=/dev/net/tun --bind-ro=/sys/module \
            --capability=CAP_IPC_LOCK,CAP_SYS_NICE,CAP_NET_ADMIN </dev/null >"$LOGS/console-$1.log" 2>&1 3>&- 4>&-
    ) &
    echo $! >"$lab/nspawn-$1"
}

# Waits until machine $1 has booted: 60 s at most.
booted() {
    tries=0
    until [ -n "$(leader "$1")" ] && in_machine "$1" systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || fail "gateway-$1 does not boot: $LOGS/console-$1.log"
        sleep 0.2
    done
}

# A cable from namespace $1's interface $2, with the address $3, to machine $4's interface $5.
cable() {
    ip -n "$1" link add "$2" type veth peer name "$5" netns "$(leader "$4")"
    ip -n "$1" address add "$3" dev "$2"
    # A veth leaves checksums unfinished.
    ip netns exec "$1" ethtool -K "$2" tx off tso off gso off gro off >/dev/null
    ip -n "$1" link set "$2" up
    in_machine "$4" ethtool -K "$5" tx off tso off gso off gro off >/dev/null
    in_machine "$4" ip link set "$5" up
}

# The client's tunnel to machine $1, at $2, as $3, into the network $4.
tunnel() {
    ip netns exec client wireguard-go -f "wg-$1" >"$LOGS/wireguard-go-$1.log" 2>&1 3>&- 4>&- &
    echo $! >>"$lab/pids"
    until ip netns exec client wg show "wg-$1" >/dev/null 2>&1; do sleep 0.1; done
    key=$(in_machine "$1" sh -c 'wg pubkey </etc/culvert/keys/wg0')
    ip netns exec client wg set "wg-$1" private-key "$lab/client.key" peer "$key" endpoint "$2:51820" allowed-ips "$4"
    ip -n client address add "$3" dev "wg-$1"
    ip -n client link set "wg-$1" up
    ip -n client route add "$4" dev "wg-$1"
}

#!/bin/sh
# The Debian package: builds it of the development build, has lintian read it, and installs, upgrades, removes and purges it on an overlay of
# this machine, which keeps nothing of it. Then what `systemd-analyze` says about the unit. Root, or sudo.
# Exit code 77: what this needs is not here.
set -eu
self=$(realpath "$0")
cd "$(dirname "$self")/.."

# Tenths: what the unit is open to, by `systemd-analyze security`.
EXPOSURE=27
PACKAGES=target/test-deb

fail() { echo "deb: $*" >&2; exit 1; }
skip() { echo "$*"; exit 77; }

# What follows is done by this script, once more, as root in a mount namespace of its own.
if [ "${1:-}" != inside ]; then
    for program in lintian dpkg-shlibdeps systemd-analyze; do
        command -v $program >/dev/null || skip "there is no $program (configs/setup.sh deb)"
    done
    [ -x target/tools/bin/cargo-deb ] || command -v cargo-deb >/dev/null || skip 'there is no cargo-deb (configs/setup.sh deb)'
    rm -rf $PACKAGES
    mkdir -p $PACKAGES
    for revision in 1 2; do
        CULVERT_PROFILE=dev CULVERT_REVISION=$revision configs/debian/build.sh
        mv target/debian/culvert_*-${revision}_*.deb $PACKAGES/$revision.deb
    done
    lintian --allow-root --fail-on error $PACKAGES/1.deb
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    $as_root unshare --mount "$self" inside
    exit
fi

top=$(mktemp -d)
# The namespace ends with this process, and its mounts with it; the folder does not.
trap 'cd /; umount -R "$top"; rmdir "$top"' EXIT
# dash leaves the other one out when a signal ends it.
trap 'exit 130' INT TERM
mount -t tmpfs culvert-deb "$top"
mkdir "$top/upper" "$top/work" "$top/root"
root=$top/root
mount -t overlay culvert-deb -o "lowerdir=/,upperdir=$top/upper,workdir=$top/work" "$root"
cp $PACKAGES/1.deb $PACKAGES/2.deb "$root"
for folder in proc dev sys; do mount --rbind "/$folder" "$root/$folder"; done
mount -t tmpfs culvert-deb "$root/run"

inside() { chroot "$root" "$@"; }
there() { inside test -e "$1" || fail "$1 is not there after $2"; }
gone() { ! inside test -e "$1" || fail "$1 is still there after $2"; }
# All files but dpkg's own, and copies that adding a user makes.
files() {
    inside find /etc /usr /var/lib /opt -xdev ! -path '/var/lib/dpkg/*' ! -name 'passwd-' ! -name 'group-' ! -name 'shadow-' ! -name 'gshadow-' | sort
}

# It may be installed on this very machine.
inside dpkg --purge culvert >/dev/null 2>&1 || true
files >"$top/before"

inside dpkg --install /1.deb
for file in /usr/bin/culvertd /usr/bin/culvert /usr/lib/systemd/system/culvertd.service /usr/lib/sysusers.d/culvert.conf \
    /usr/lib/tmpfiles.d/culvertd.conf /usr/lib/udev/rules.d/60-culvert.rules /etc/culvert/culvert.toml.example \
    /usr/share/man/man1/culvert.1.gz /usr/share/man/man5/culvert.toml.5.gz /usr/share/man/man8/culvertd.8.gz \
    /usr/share/bash-completion/completions/culvert /usr/share/zsh/vendor-completions/_culvert \
    /usr/share/fish/vendor_completions.d/culvert.fish /usr/share/culvert/grafana/culvert.json \
    /usr/share/culvert/prometheus/alerts.yml /usr/share/doc/culvert/copyright /usr/share/doc/culvert/third-party.txt.gz; do
    there $file 'the installation'
done
inside getent passwd culvert | grep -q ':/usr/sbin/nologin$' || fail 'there is no user culvert without a shell'
gone /etc/systemd/system/multi-user.target.wants/culvertd.service 'an installation, which enables nothing'
gone /etc/culvert/culvert.toml 'an installation, which knows no NIC'
inside culvert --version
inside culvertd --help >/dev/null
# What NICs are driven by: vfio's groups and container, verbs.
for device in 'char-vfio' '/dev/vfio/vfio' 'char-infiniband_verbs'; do
    inside grep -qx "DeviceAllow=$device rw" /usr/lib/systemd/system/culvertd.service || fail "the unit does not allow $device"
done
# Every driver that culvert names comes with the package.
inside dpkg --status culvert | grep '^Depends:' | grep -q 'librte-net-virtio' || fail 'no driver is depended on'

inside systemd-analyze verify --man=yes /usr/lib/systemd/system/culvertd.service >"$top/verify" 2>&1 || { cat "$top/verify"; fail 'systemd-analyze verify'; }
[ ! -s "$top/verify" ] || { cat "$top/verify"; fail 'systemd-analyze verify has something to say'; }
inside systemd-analyze security --offline=yes --threshold=$EXPOSURE culvertd.service >"$top/security" ||
    { cat "$top/security"; fail "the unit is open to more than $EXPOSURE tenths"; }
tail -n 1 "$top/security"
inside systemd-tmpfiles --create culvertd.conf
[ "$(inside stat -c '%U:%G %a' /run/wireguard)" = 'culvert:culvert 750' ] || fail 'the folder of the wg sockets is not culvert'\''s'

# What somebody makes of it.
inside sh -c 'umask 077; cp /etc/culvert/culvert.toml.example /etc/culvert/culvert.toml; echo secret >/etc/culvert/private.key
    echo "# mine" >>/etc/culvert/culvert.toml.example; mkdir /var/lib/culvert; echo peers >/var/lib/culvert/wg0.conf
    systemctl enable culvertd.service 2>/dev/null'
there /etc/systemd/system/multi-user.target.wants/culvertd.service enabling
inside dpkg --install /2.deb
inside grep -q '^# mine$' /etc/culvert/culvert.toml.example || fail 'an upgrade has overwritten a configuration file'
there /etc/systemd/system/multi-user.target.wants/culvertd.service 'an upgrade of an enabled unit'

inside dpkg --remove culvert
gone /usr/bin/culvertd 'the removal'
gone /usr/lib/systemd/system/culvertd.service 'the removal'
there /etc/culvert/private.key 'the removal, which keeps configuration'
there /var/lib/culvert/wg0.conf 'the removal, which keeps state'

inside dpkg --purge culvert
gone /etc/culvert 'the purge'
gone /var/lib/culvert 'the purge'
inside getent passwd culvert >/dev/null || fail 'the purge has taken the user, whose number may own files'
files >"$top/after"
diff "$top/before" "$top/after" || fail 'there are other files than before, after the purge'
echo 'test result: the package installs, upgrades, removes and purges'

#!/bin/sh
# The playbooks of configs/ansible without a machine of their own: syntax, ansible-lint, check mode against this machine, and
# what has to be refused before anything is changed. `make test-deploy` applies them for real.
set -eu
cd "$(dirname "$0")/.."

PLAYBOOKS='site.yml rolling.yml remove.yml'
# What the roles write.
WRITTEN='/etc/culvert /etc/default/grub.d /etc/dpdk /etc/tmpfiles.d /etc/modules-load.d /etc/modprobe.d /etc/nftables.d
    /etc/systemd/system/culvertd.service.d /var/cache/culvert /proc/cmdline /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages'
GOOD=iXaPH2k0bd1lzK7sVIk2KOJw5nFCGAtoL4sjSSUiLGo=
SECRET=secretsecretsecretsecretsecretsecretsecret

for program in ansible-playbook ansible-lint; do
    command -v $program >/dev/null || { echo "there is no $program: configs/setup.sh test installs it"; exit 77; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export ANSIBLE_NOCOLOR=1 ANSIBLE_RETRY_FILES_ENABLED=0 ANSIBLE_LOCAL_TEMP="$work/local" ANSIBLE_REMOTE_TEMP="$work/remote"
export ANSIBLE_CONFIG=configs/ansible/ansible.cfg
failures=0
cases=0

fails() { echo "ansible: $*"; failures=$((failures + 1)); }

# Of a list of files their names, times, rights and contents.
look() {
    # shellcheck disable=SC2086 # a list of words
    find $WRITTEN -printf '%p %m %U %T@ ' -type f -exec md5sum {} + 2>/dev/null || true
}

cat >"$work/inventory.yml" <<INVENTORY
culvert:
  hosts:
    localhost:
      ansible_connection: local
      ansible_python_interpreter: /usr/bin/python3
  vars:
    culvert_host_huge_pages: 1
    culvert_package: $work/culvert_1_amd64.deb
    culvert_ports:
      - { name: wan, device: "net_af_packet0,iface=wan0", role: outer, addresses: [192.0.2.10/24], routes: [{ to: 0.0.0.0/0, via: 192.0.2.1 }] }
      - { name: lan, device: "net_af_packet1,iface=lan0", role: inner, addresses: [10.10.0.1/24] }
    culvert_interfaces:
      - { name: wg0, listen_ports: [51820], max_peers: 16 }
      - { name: wg1, listen_ports: [51821], peers_src: $work/peers.conf }
    culvert_peers:
      - { name: laptop, public_key: $GOOD, preshared_key: $GOOD, allowed_ips: [10.9.0.2/32] }
    culvert_private_keys: { wg1: $GOOD }
INVENTORY
printf '[Peer]\n# friendly_name = phone\nPublicKey = %s\nAllowedIPs = 10.8.0.2/32 # its own\n' $GOOD >"$work/peers.conf"

: >"$work/culvert_1_amd64.deb"

# Of an inventory that had a hole in nftables before.
: >"$work/culvert.nft"
check() { ansible-playbook --check --diff -i "$work/inventory.yml" -e "culvert__hole=$work/culvert.nft" "$@" configs/ansible/site.yml; }

# A host of the batch: whose checks (machine or gateway), what is said, and the variables as JSON.
wrong() {
    cases=$((cases + 1))
    printf '%s\t%s\n' "$1-$cases" "$2" >>"$work/wrong"
    printf '%s\n' "    $1-$cases: $3" >>"$work/hosts.yml"
}

# What case $1 came to, in the output $2, has to be that it said $3 and changed nothing.
judge() {
    if ! grep -qE "^$1 .* changed=0 .*failed=1 " "$2"; then
        fails "not refused, or only after something was changed: $3"
        grep "^$1 " "$2" || true
    elif ! tr -s '\n ' '  ' <"$2" | grep -qF -- "$3"; then
        fails "refused, but without the words \"$3\""
        grep -E "(fatal|failed): \[$1\]" "$2" | cut -c1-400 || true
    else
        echo "  ok  refused: $3"
    fi
    ! grep -qF "$SECRET" "$2" || fails "shows a key: $3"
}

# The whole of site.yml with the variables $2 is refused with the words $1.
refused() {
    cases=$((cases + 1))
    ! check -e "$2" >"$work/refused" 2>&1 || fails "accepted: $2"
    judge localhost "$work/refused" "$1"
}

for playbook in $PLAYBOOKS; do
    ansible-playbook --syntax-check -i configs/ansible/inventory.example.yml "configs/ansible/$playbook"
done
# Of a copy: it leaves folders of its own.
cp -r configs/ansible "$work/lint"
(cd "$work/lint" && unset ANSIBLE_CONFIG && ansible-lint --nocolor) || fails 'ansible-lint is not content'

before=$(look)
if check >"$work/good" 2>&1; then
    # It has come to the end of both roles.
    for said in 'Do that now' 'Write the configuration' 'Write the peers of the list' 'Give the unit its keys' 'Load nftables'; do
        grep -qF "$said" "$work/good" || fails "check mode does not come to \"$said\""
    done
    ! grep -qF $GOOD "$work/good" || fails 'check mode shows a key'
else
    tail -n 40 "$work/good"
    fails 'check mode fails'
fi

# What takes a boot is said, and the gateway waits for it.
check -e '{"culvert_host_kernel_arguments": ["culvert.test=1"]}' >"$work/boot" 2>&1 || fails 'a boot that is due ends the play'
tr -s '\n ' '  ' <"$work/boot" | grep -qF 'its kernel was not told culvert.test=1' || fails 'does not say what waits for a boot'
! grep -qF 'Write the configuration' "$work/boot" || fails 'installs the gateway before the boot that it needs'

# What a rollback puts back, of files in a folder of their own: $1 makes what is there before.
etc=$work/etc
rolled_back() {
    rm -rf "$etc"
    mkdir -p "$etc/culvert/conf.d" "$etc/nftables.d" "$etc/unit.d"
    echo '# mine' >"$etc/culvert/conf.d/10-mine.toml"
    printf '#!/usr/sbin/nft -f\n' >"$etc/nftables.conf"
    $1
    was=$(look_at "$etc")
    ansible-playbook -i "$work/inventory.yml" -e "@$work/files.json" "$work/rollback.yml" >"$work/rollback" 2>&1 || { cat "$work/rollback"; fails "cannot roll back $1"; }
    [ "$(look_at "$etc")" = "$was" ] || { look_at "$etc"; fails "a rollback leaves other files than there were: $1"; }
}
look_at() { (cd "$1" && find . ! -type d -printf '%p %m %U ' -exec md5sum {} \; | sort); }
nothing() { :; }
a_gateway() {
    mkdir -m 700 "$etc/culvert/keys"
    (umask 077 && echo made-here >"$etc/culvert/keys/wg0")
    echo 'old = 1' >"$etc/culvert/culvert.toml"
    echo old >"$etc/nftables.d/culvert.nft"
    echo old >"$etc/unit.d/50-ansible.conf"
    echo "include \"$etc/nftables.d/*.nft\"" >>"$etc/nftables.conf"
}
cat >"$work/files.json" <<FILES
{"culvert__folder": "$etc/culvert", "culvert__keys": "$etc/culvert/keys", "culvert__hole": "$etc/nftables.d/culvert.nft",
"culvert__nftables": "$etc/nftables.conf", "culvert__dropin": "$etc/unit.d/50-ansible.conf", "culvert__before": "$work/before"}
FILES
cat >"$work/rollback.yml" <<'PLAYBOOK'
- name: Change files, and roll back
  hosts: localhost
  become: true
  gather_facts: false
  tasks:
    - { name: Remember, ansible.builtin.include_role: { name: culvert, tasks_from: remember, public: true } }
    - name: Change all of them
      ansible.builtin.shell: |
        set -eu
        mkdir -p "$KEYS"
        for file in "$KEYS/wg0" "$KEYS/wg1" "$FOLDER/culvert.toml" "$FOLDER/peers.conf" "$HOLE" "$DROPIN"; do echo new >"$file"; done
        grep -qxF "$INCLUDE" "$NFTABLES" || echo "$INCLUDE" >>"$NFTABLES"
      environment: "{{ culvert__files }}"
    - { name: Roll back, ansible.builtin.include_role: { name: culvert, tasks_from: rollback_files } }
    - { name: Forget, ansible.builtin.file: { path: "{{ culvert__before }}", state: absent } }
- name: See which NICs are not bound
  hosts: localhost
  gather_facts: false
  vars:
    culvert_host_huge_pages: 0
    culvert_host_iommu_works: false
    culvert_host__cmdline: { stdout: "" }
    culvert_host__pages: { stdout: "0" }
    culvert_host__grub: { stat: { exists: true } }
    culvert_host__drivers:
      results:
        - { item: { address: "0000:00:01.0" }, stdout: ../../../bus/pci/drivers/vfio-pci }
        - { item: { address: "0000:3b:00.0" }, stdout: ../../../../bus/pci/drivers/vfio-pci }
        - { item: { address: "0000:3b:00.1" }, stdout: ../../../../bus/pci/drivers/ice }
        - { item: { address: "0000:3b:00.2" }, stdout: "" }
  tasks:
    - { name: Say what waits for a boot, ansible.builtin.include_role: { name: culvert_host, tasks_from: reboot } }
PLAYBOOK
export ANSIBLE_ROLES_PATH=configs/ansible/roles
rolled_back nothing
tr -s '\n ' '  ' <"$work/rollback" | grep -qF ': 0000:3b:00.1, 0000:3b:00.2 wait for the IOMMU' || fails 'does not see by the driver which NICs are bound'
rolled_back a_gateway

# What the deployment counts as lost: 11 to 20 of 21 pings, an outage from 100.55 on.
for seq in 1 2 3 4 5 6 7 8 9 10 21; do
    awk -v seq=$seq 'BEGIN { printf "[%.6f] 64 bytes from 10.10.0.2: icmp_seq=%d ttl=63 time=1 ms\n", 100 + seq * 0.05, seq }'
done >"$work/pings"
# shellcheck source=tests/deploy/steps.sh
lost=$(lab=$work && . tests/deploy/steps.sh && for until in 100.52 100.81 101.06 101.32; do lost_before pings $until; done | tr '\n' ' ')
[ "$lost" = '0 6 10 15 ' ] || fails "counts wrongly what was lost: $lost"

cpus=$(nproc --all)
memory=$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)
peers() { printf '{"culvert_peers": [{"name": "phone", "allowed_ips": ["10.9.0.3/32"], %s}]}' "$1"; }


# By the playbook itself, in which the machine's part comes first.
refused 'the public key of phone is none' "$(peers '"public_key": "short="')"
# The NIC that this machine is reached by.
interface=$(ip -4 route show default | sed -n '1s/.* dev \([^ ]*\).*/\1/p')
address=$(readlink -f "/sys/class/net/${interface:-none}" | grep -oE '[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]' | tail -n 1 || true)
if [ -n "$address" ]; then
    refused 'is reached (it carries this login' "{\"culvert_host_pci\": [{\"address\": \"$address\"}]}"
else
    printf '\n!!! SKIPPED: this machine is reached by no PCI NIC, so none can be refused\n\n'
fi

# The others together, a host each, by the same checks.
printf '[Peer]\nPublicKey = %s\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.8.0.3/32\n' $GOOD $SECRET >"$work/wrong.conf"
wrong machine 'are more than the' "{\"culvert_host_huge_pages\": $((memory / 2048))}"
wrong machine 'CPU 0 at least is the system' "{\"culvert_host_isolated_cpus\": \"0-$((cpus - 1))\"}"
wrong machine 'unable to convert to int' '{"culvert_host_huge_pages": "many"}'
wrong machine 'which is no list of CPUs' '{"culvert_host_isolated_cpus": "all"}'
wrong machine 'only these can be isolated' "{\"culvert_host_isolated_cpus\": \"$cpus\"}"
wrong machine 'culvert_host_pci names 3b:00.0: a PCI address' '{"culvert_host_pci": [{"address": "3b:00.0"}]}'
wrong machine 'has at ffff:1f:1f.7 nothing' '{"culvert_host_pci": [{"address": "ffff:1f:1f.7"}]}'
wrong machine 'culvert_host_pci.driver. Supported parameters include: address' '{"culvert_host_pci": [{"address": "ffff:1f:1f.7", "driver": "uio_pci_generic"}]}'
wrong gateway 'the preshared key of phone is none' "$(peers "\"public_key\": \"$GOOD\", \"preshared_key\": \"$SECRET=\"")"
wrong gateway 'phone stand for an interface' "$(peers "\"public_key\": \"$GOOD\", \"interface\": \"wg7\"")"
wrong gateway 'the key of wg0 is no private key' "{\"culvert_private_keys\": {\"wg0\": \"$SECRET\"}}"
wrong gateway 'culvert_1_arm64.deb, which is not there' "{\"culvert_package\": \"$work/culvert_1_arm64.deb\"}"
wrong gateway 'wrong.conf:4: PublicKey is no key' \
    "{\"culvert_interfaces\": [{\"name\": \"wg0\", \"peers_src\": \"$work/wrong.conf\"}], \"culvert_peers\": []}"
wrong gateway 'Each of culvert_ports has a name and a device' '{"culvert_ports": [{"name": "wan"}]}'
# The group's variables, and each host with its one mistake.
{
    printf 'culvert:\n  hosts:\n'
    cat "$work/hosts.yml"
    sed -n '/^  vars:/,$p' "$work/inventory.yml"
    printf '    ansible_connection: local\n    ansible_python_interpreter: /usr/bin/python3\n'
} >"$work/wrong.yml"
: >"$work/batch"
for kind in machine gateway; do
    role=$([ $kind = machine ] && echo culvert_host || echo culvert)
    cat >"$work/$kind.yml" <<PLAYBOOK
- name: Check the $kind
  hosts: $kind-*
  become: true
  gather_facts: $([ $kind = machine ] && echo true || echo false)
  tasks:
    - { name: Check, ansible.builtin.import_role: { name: $role, tasks_from: validate } }
PLAYBOOK
    ansible-playbook --forks 4 -i "$work/wrong.yml" "$work/$kind.yml" >>"$work/batch" 2>&1 || true
done
while IFS='	' read -r host said; do judge "$host" "$work/batch" "$said"; done <"$work/wrong"

[ "$(look)" = "$before" ] || fails 'check mode has changed this machine'
[ $failures = 0 ] || exit 1
echo "ansible: ok, $cases wrong inputs were refused before anything was changed"

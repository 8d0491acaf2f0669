# shellcheck shell=sh disable=SC2154 # lab.sh's variables
# What is tried, in its order. Sourced by run.sh.

HOST_A=10.10.0.2
HOST_B=10.11.0.2
# Seconds between the pings that count what is lost.
INTERVAL=0.05

boot_machines() {
    (umask 077 && wg genkey >"$lab/client.key")
    for name in a b; do make_machine $name; done
    for name in a b; do boot $name; done
    for name in a b; do booted $name; done
    cable client eth-a 192.0.2.2/24 a wan
    cable client eth-b 198.51.100.2/24 b wan
    cable host lan-a $HOST_A/24 a lan
    cable host lan-b $HOST_B/24 b lan
    ip -n host route add 10.9.0.0/24 via 10.10.0.1
    ip -n host route add 10.9.1.0/24 via 10.11.0.1
    inventory
}

inventory() {
    public=$(wg pubkey <"$lab/client.key")
    # As many as there are: nothing is taken from others.
    pages=$(cat /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages)
    cat >"$lab/inventory.yml" <<INVENTORY
culvert:
  hosts:
    gateway-a:
      ansible_nsenter_pid: $(leader a)
      # With gateway-b, which keeps them, it shows what that is worth.
      culvert_control: { keep_sessions: false }
      culvert_ports:
        - { name: wan, device: "net_af_packet0,iface=wan", role: outer, addresses: [192.0.2.10/24], routes: [{ to: 0.0.0.0/0, via: 192.0.2.1 }] }
        - { name: lan, device: "net_af_packet1,iface=lan", role: inner, addresses: [10.10.0.1/24] }
      culvert_peers: [{ name: client, public_key: "$public", allowed_ips: [10.9.0.2/32] }]
    gateway-b:
      ansible_nsenter_pid: $(leader b)
      culvert_ports:
        - { name: wan, device: "net_af_packet0,iface=wan", role: outer, addresses: [198.51.100.10/24] }
        - { name: lan, device: "net_af_packet1,iface=lan", role: inner, addresses: [10.11.0.1/24] }
      culvert_peers: [{ name: client, public_key: "$public", allowed_ips: [10.9.1.2/32] }]
  vars:
    ansible_connection: community.docker.nsenter
    ansible_python_interpreter: /usr/bin/python3
    ansible_become: false
    culvert_package: $lab/1/culvert.deb
    culvert_host_huge_pages: $pages
    culvert_host_memory_reserve_mib: 0
    # The kernel is this machine's.
    culvert_host_transparent_hugepages: ""
    culvert_host_governor: ""
    culvert_memory: { huge_pages: auto, mbufs: 16383 }
    culvert_interfaces: [{ name: wg0, listen_ports: [51820], max_peers: 1024 }]
    culvert_capabilities_extra: [CAP_NET_RAW]
    culvert_nftables: true
    culvert_drain_commands: [[sh, -c, "date +%s.%N >/run/drained"]]
    culvert_undrain_commands: [[sh, -c, "date +%s.%N >/run/undrained"]]
INVENTORY
}

# What it says goes to a file of its own, too: the log has the words that it is searched for.
play() {
    playbook=$1
    shift
    played=0
    ANSIBLE_CONFIG=configs/ansible/ansible.cfg ANSIBLE_NOCOLOR=1 ANSIBLE_LOCAL_TEMP="$lab/ansible" \
        ansible-playbook -i "$lab/inventory.yml" "configs/ansible/$playbook" "$@" >"$LOGS/play.log" 2>&1 || played=$?
    cat "$LOGS/play.log"
    return $played
}

# Whether the last play said $1.
said() { grep -qF -- "$1" "$LOGS/play.log"; }

# The line "gateway-$1 : ok=…" of the last play.
recap() { grep "^gateway-$1 " "$LOGS/play.log"; }

main_pid() { in_machine "$1" systemctl show --property MainPID --value culvertd; }
# shellcheck disable=SC2016 # dpkg-query's variable
version() { in_machine "$1" dpkg-query -W -f '${Version}' culvert; }

# Pings $2 over and over, until `pinged`; to the file $1.
ping_on() {
    ip netns exec client ping -n -D -i $INTERVAL "$2" >"$lab/$1" 2>&1 3>&- 4>&- &
    echo $! >"$lab/$1.pid"
}

# Ends it, and says in $lost how many were lost.
pinged() {
    ping_pid=$(cat "$lab/$1.pid")
    kill -INT "$ping_pid"
    wait "$ping_pid" || true
    counts=$(sed -n 's/^\([0-9]*\) packets transmitted, \([0-9]*\) received.*/\1 \2/p' "$lab/$1")
    [ "${counts#* }" -gt 0 ] || fail "no ping came back: $lab/$1"
    lost=$((${counts% *} - ${counts#* }))
}

# How many of the pings $1 were lost before the time $2: those between two replies were sent at even times between them.
lost_before() {
    sed -n 's/^\[\([0-9.]*\)\].* icmp_seq=\([0-9]*\) .*/\1 \2/p' "$lab/$1" |
        awk -v until="$2" -v interval=$INTERVAL '
            NR == 1 { time = $1 - interval * $2 }
            $2 <= last { next }
            { for (i = last + 1; i < $2; i++) lost += time + (i - last) * ($1 - time) / ($2 - last) < until; time = $1; last = $2 }
            END { if (time + interval < until) lost += int((until - time) / interval); print lost + 0 }'
}

# How long the lost pings $1 were.
lost_seconds() { awk -v lost="$1" -v interval=$INTERVAL 'BEGIN { printf "%.1f s", lost * interval }'; }

# Until a ping comes through to $1: $2 seconds at most.
reached() {
    tries=0
    until ip netns exec client ping -n -c 1 -W 1 "$1" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt "$2" ] || fail "$1 is not reached after $2 s"
        sleep 0.2
    done
}

first_apply() {
    play site.yml
    for name in a b; do
        in_machine $name systemctl is-enabled culvertd
        [ "$(in_machine $name stat -c '%U %a' /etc/culvert/keys/wg0)" = 'root 600' ] || fail 'the private key is not root'\''s alone'
        [ "$(in_machine $name stat -c %U "/proc/$(main_pid $name)")" = culvert ] || fail 'culvertd is not the user culvert'\''s'
    done
    for name in a b; do has_hole $name; done
    in_machine a systemd-analyze security --no-pager culvertd | tail -n 1
}

rules() {
    ruleset=$(in_machine "$1" nft list ruleset)
    case $ruleset in *'chain input'*) ;; *) fail "gateway-$1 has no rules: $ruleset" ;; esac
}
has_hole() {
    rules "$1"
    case $ruleset in *'udp dport 51820 accept'*) ;; *) fail "nftables of gateway-$1 has no hole" ;; esac
}
has_no_hole() {
    rules "$1"
    case $ruleset in *51820*) fail "nftables of gateway-$1 has the hole" ;; esac
}

traffic() {
    tunnel a 192.0.2.10 10.9.0.2/24 10.10.0.0/24
    tunnel b 198.51.100.10 10.9.1.2/24 10.11.0.0/24
    reached $HOST_A 20
    reached $HOST_B 20
    for host in $HOST_A $HOST_B; do
        ip netns exec client ping -n -c 100 -i 0.01 -s 1300 "$host" | grep ' 0% packet loss' || fail "pings to $host were lost"
    done
    note '200 pings of 1300 bytes, none lost'
}

second_apply() {
    play site.yml
    for name in a b; do recap $name | grep -q ' changed=0 .* failed=0 ' || fail "the second run changed gateway-$name: $(recap $name)"; done
    play site.yml --check --limit gateway-a
    recap a | grep -q ' changed=0 .* failed=0 ' || fail "check mode would change gateway-a: $(recap a)"
}

change_peers() {
    pid=$(main_pid a)
    other=$(wg genkey | wg pubkey)
    ping_on peers $HOST_A
    sleep 0.5
    play site.yml --tags peers --limit gateway-a -e "{\"culvert_peers\": [
        {\"name\": \"client\", \"public_key\": \"$(wg pubkey <"$lab/client.key")\", \"allowed_ips\": [\"10.9.0.2/32\"]},
        {\"name\": \"phone\", \"public_key\": \"$other\", \"allowed_ips\": [\"10.9.0.3/32\"]}]}"
    in_machine a culvert show peers | grep phone || fail 'the new peer is not there'
    sleep 0.5
    pinged peers
    [ "$lost" = 0 ] || fail "$lost pings were lost"
    [ "$(main_pid a)" = "$pid" ] || fail 'culvertd was restarted for a peer'
    note '0 pings lost, the same process'
}

change_cores() {
    pid=$(main_pid a)
    sed -i 's/^    culvert_memory:/    culvert_cores: { idle: adaptive }\n    culvert_metrics: { per_peer_max: 10 }\n&/' "$lab/inventory.yml"
    # A host's own goes over the group's.
    sed -i 's/^    gateway-b:/&\n      culvert_nftables: false/' "$lab/inventory.yml"
    play site.yml -e culvert_serial=1
    [ "$(grep -cF 'PLAY [Make gateways]' "$LOGS/play.log")" = 2 ] || fail 'the gateways were not changed one by one'
    [ "$(main_pid a)" != "$pid" ] || fail 'culvertd was not restarted for a setting of its start'
    has_hole a
    has_no_hole b
    reached $HOST_A 60
}

# What a rollback puts back, as one sum.
files_of() {
    in_machine "$1" sh -c 'cd /etc && find culvert nftables.conf nftables.d systemd/system/culvertd.service.d -type f -exec sha256sum {} + | sort | sha256sum'
}

# By culvert, which reads conf.d: another key and a wrong setting have changed nothing then. And by nft: all was written.
refused() {
    pid=$(main_pid a)
    in_machine a sh -c 'mkdir /etc/culvert/conf.d && echo "nonsense = 1" >/etc/culvert/conf.d/10-mine.toml'
    was=$(files_of a)
    if play site.yml --tags gateway --limit gateway-a -e "{\"culvert_metrics\": {\"per_peer_max\": 30},
        \"culvert_nftables_metrics_sources\": [\"10.10.0.0/24\"], \"culvert_private_keys\": {\"wg0\": \"$(wg genkey)\"}}"; then
        fail 'a configuration was taken that culvert does not read'
    fi
    said 'Write the configuration: ' || fail 'it was not refused before it was written'
    said '10-mine.toml' || fail 'it does not say that it is conf.d'
    [ "$(files_of a)" = "$was" ] || fail 'the files are not what they were'
    [ "$(main_pid a)" = "$pid" ] || fail 'what was refused has cost a restart'
    in_machine a rm -r /etc/culvert/conf.d
    was=$(files_of a)
    if play site.yml --tags gateway --limit gateway-a -e "{\"culvert_nftables_chain\": \"nowhere\", \"culvert_private_keys\": {\"wg0\": \"$(wg genkey)\"}}"; then
        fail 'a hole in no chain was taken'
    fi
    said 'and the gateway runs as before' || fail 'it does not say that it was rolled back'
    [ "$(files_of a)" = "$was" ] || fail 'the files are not what they were, after a restart'
    has_hole a
    reached $HOST_A 60
    note 'keys, configuration and nftables as before'
}

kill_gateway() {
    pid=$(main_pid a)
    began=$(now_ms)
    in_machine a kill -9 "$pid"
    back a "$pid" 30
    note "runs after $(seconds $(($(now_ms) - began))) s"
    reached $HOST_A 60
    note "traffic after $(seconds $(($(now_ms) - began))) s"
}

# Until machine $1's gateway is ready with another process than $2: $3 seconds at most.
back() {
    tries=0
    until in_machine "$1" systemctl is-active --quiet culvertd && [ "$(main_pid "$1")" != "$2" ]; do
        tries=$((tries + 1))
        [ $tries -lt $(($3 * 5)) ] || fail "culvertd of gateway-$1 is not back after $3 s"
        sleep 0.2
    done
}

# As a core that hangs: nothing of it moves on, and it does not end.
stop_gateway() {
    pid=$(main_pid a)
    began=$(now_ms)
    in_machine a kill -STOP "$pid"
    back a "$pid" 90
    note "runs after $(seconds $(($(now_ms) - began))) s"
    journal=$(in_machine a journalctl --no-pager --since "@$((began / 1000))" -u culvertd)
    case $journal in *'Watchdog timeout'*) ;; *) fail 'it was not the watchdog' ;; esac
    reached $HOST_A 60
}

upgrade() {
    for name in a b; do ping_on "upgrade-$name" "$(eval echo "\$HOST_$(echo $name | tr ab AB)")"; done
    sleep 1
    play rolling.yml -e "culvert_package=$lab/2/culvert.deb"
    reached $HOST_A 60
    reached $HOST_B 60
    pinged upgrade-a
    lost_a=$lost
    pinged upgrade-b
    lost_b=$lost
    meanwhile=$(lost_before upgrade-b "$(in_machine a cat /run/undrained)")
    for name in a b; do
        case $(version $name) in *+2) ;; *) fail "gateway-$name has version $(version $name)" ;; esac
    done
    [ "$meanwhile" = 0 ] || fail "$meanwhile pings through gateway-b were lost while gateway-a was upgraded"
    [ $((lost_b * 2)) -lt "$lost_a" ] || fail "$lost_b pings were lost with sessions kept, $lost_a without"
    note "lost: $(lost_seconds "$lost_a") with new sessions, $(lost_seconds "$lost_b") with sessions kept, none while the other was upgraded"
}

bad_upgrade() {
    was=$(in_machine a md5sum /etc/culvert/culvert.toml)
    pid=$(main_pid b)
    # The configuration changes, too, and nftables has read its part of it.
    if play rolling.yml -e "culvert_package=$lab/bad/culvert.deb" \
        -e '{"culvert_metrics": {"per_peer_max": 20}, "culvert_nftables_metrics_sources": ["10.10.0.0/24"]}'; then
        fail 'a package whose doctor fails was taken'
    fi
    said 'this package is spoilt' || fail 'it does not say what doctor said'
    said 'and the gateway runs as before' || fail 'it does not say that it was rolled back'
    case $(version a) in *+2) ;; *) fail "gateway-a has version $(version a)" ;; esac
    [ "$(in_machine a md5sum /etc/culvert/culvert.toml)" = "$was" ] || fail 'the configuration is not what it was'
    has_hole a
    case $ruleset in *'culvert metrics'*) fail 'nftables has the hole of what was rolled back' ;; esac
    [ "$(main_pid b)" = "$pid" ] || fail 'gateway-b was touched'
    reached $HOST_A 60
    note 'a rolled back, b untouched'
}

remove() {
    play remove.yml --limit gateway-a
    play remove.yml --limit gateway-b -e culvert_remove_purge=true
    for name in a b; do
        # A removal masks it, for who comes back.
        case $(in_machine $name systemctl show --property LoadState --value culvertd) in
        masked | not-found) ;;
        *) fail "gateway-$name still has a unit" ;;
        esac
        running=" $(in_machine $name sh -c 'cat /proc/[0-9]*/comm 2>/dev/null || true' | tr '\n' ' ') "
        case $running in
        *' culvertd '*) fail "culvertd still runs on gateway-$name" ;;
        *' systemd '*) ;;
        *) fail "gateway-$name does not say what runs: $running" ;;
        esac
    done
    has_no_hole a
    in_machine a test -e /etc/culvert/keys/wg0 || fail 'the removal took the keys'
    # shellcheck disable=SC2016 # its own
    left=$(in_machine b sh -c 'for path; do [ ! -e "$path" ] || echo "$path"; done' sh \
        /etc/culvert /var/lib/culvert /var/cache/culvert /etc/systemd/system/culvertd.service.d /usr/bin/culvert)
    [ -z "$left" ] || fail "still there after the purge: $left"
    play remove.yml --limit gateway-b -e culvert_remove_purge=true
    recap b | grep -q ' changed=0 ' || fail "a second removal changed something: $(recap b)"
}

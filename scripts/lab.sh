#!/usr/bin/env bash
# A playground in namespaces: one switch, four hosts, nothing of this machine's own network touched.
#
#   scripts/lab.sh up              make the namespaces and start the switch
#   scripts/lab.sh run HOST CMD    run CMD in a host: web, db, lone, trunk or node
#   scripts/lab.sh ctl ARGS        vswctl against the lab's switch
#   scripts/lab.sh down            stop the switch, remove everything
#
#      web  10.0.100.1  VLAN 100  veth, packet socket      ┐
#      db   10.0.100.2  VLAN 100  TAP inside the host      ├─ br0 (vswitchd in a namespace of its own)
#      lone 10.0.100.3  VLAN 200  TAP inside the host      │
#      trunk            100, 200 tagged  veth              │
#      node 10.0.100.9  VLAN 100  the node's own port      ┘
#
# LAB names the lab (default "vsw"), BIN the folder of the binaries (default target/release).
set -euo pipefail
cd "$(dirname "$0")/.."
LAB=${LAB:-vsw}
BIN=${BIN:-target/release}
DIR=/run/vswitch-lab/$LAB
SOCKET=$DIR/io.vswitch

die() {
  echo "lab.sh: $*" >&2
  exit 1
}

host_up() { # namespace device address
  ip -n "$1" addr add "$3/24" dev "$2"
  ip -n "$1" link set "$2" up
}

config() {
  cat <<CONFIG
[bridge.br0]

[port.web]
bridge = "br0"
kind = "nic"        # an existing device: here one end of a veth pair
vlan = 100

[port.db]
bridge = "br0"
kind = "tap"        # made by the daemon, moved into the host
netns = "$LAB-db"
vlan = 100

[port.lone]
bridge = "br0"
kind = "tap"
netns = "$LAB-lone"
vlan = 200

[port.trunk]
bridge = "br0"
kind = "nic"
trunk = [100, 200]

[host.node]         # the node's own interface on the bridge
bridge = "br0"
vlan = 100
addresses = ["10.0.100.9/24"]
CONFIG
}

up() {
  [ "$(id -u)" = 0 ] || die "needs root for namespaces and devices: sudo scripts/lab.sh up"
  [ -x "$BIN/vswitchd" ] || die "no $BIN/vswitchd; build it first: cargo build --release"
  [ -e "$DIR" ] && die "lab \"$LAB\" is up already; remove it: sudo scripts/lab.sh down"
  mkdir -p "$DIR"
  for ns in sw web db lone trunk; do
    ip netns add "$LAB-$ns"
    # Hosts that speak unasked would blur what the demonstration shows.
    ip netns exec "$LAB-$ns" sysctl -qw net.ipv6.conf.default.accept_dad=0
    ip -n "$LAB-$ns" link set lo up
  done
  for host in web trunk; do
    ip link add "$host" netns "$LAB-sw" type veth peer name eth0 netns "$LAB-$host"
  done
  config >"$DIR/vswitch.toml"
  ip netns exec "$LAB-sw" "$BIN/vswitchd" --config "$DIR/vswitch.toml" --socket "$SOCKET" \
    --state-dir "$DIR/state" >"$DIR/log" 2>&1 &
  echo $! >"$DIR/pid"
  for _ in $(seq 100); do
    if [ -S "$SOCKET" ] && ctl daemon info >/dev/null 2>&1; then break; fi
    kill -0 "$(cat "$DIR/pid")" 2>/dev/null || { cat "$DIR/log" >&2; die "the switch ended; its log is above"; }
    sleep 0.1
  done
  host_up "$LAB-web" eth0 10.0.100.1
  host_up "$LAB-db" db 10.0.100.2
  host_up "$LAB-lone" lone 10.0.100.3
  ip -n "$LAB-trunk" link set eth0 up
  # Ports over veth have a carrier once their host is up.
  for _ in $(seq 50); do
    if ctl status >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  ctl status >&2 || :
  die "the switch is not healthy"
}

down() {
  [ "$(id -u)" = 0 ] || die "needs root: sudo scripts/lab.sh down"
  if [ -f "$DIR/pid" ]; then
    kill "$(cat "$DIR/pid")" 2>/dev/null || :
    for _ in $(seq 50); do
      kill -0 "$(cat "$DIR/pid")" 2>/dev/null || break
      sleep 0.1
    done
  fi
  for ns in sw web db lone trunk; do
    [ -e "/run/netns/$LAB-$ns" ] || continue
    ip netns pids "$LAB-$ns" | xargs -r kill 2>/dev/null || :
    ip netns del "$LAB-$ns"
  done
  rm -rf "$DIR"
}

run() {
  local host=$1
  shift
  [ "$host" = node ] && host=sw
  exec ip netns exec "$LAB-$host" "$@"
}

ctl() { "$BIN/vswctl" --socket "$SOCKET" "$@"; }

case "${1:-}" in
  up) up ;;
  down) down ;;
  run) shift; run "$@" ;;
  ctl) shift; ctl "$@" ;;
  *)
    sed -n '2,16s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac

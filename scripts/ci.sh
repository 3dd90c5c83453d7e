#!/usr/bin/env bash
# Everything that is checked, in steps that people and CI run alike.
#
#   scripts/ci.sh all                all steps below, in this order
#   scripts/ci.sh packages           install the Debian packages that the tests use (root)
#   scripts/ci.sh fmt | lint         formatting; clippy with warnings as errors
#   scripts/ci.sh test               unit, property, sim, tidy (no privileges)
#   scripts/ci.sh schedule           mailbox, punts and FDB under a model checker, and the mutants they kill
#   scripts/ci.sh daemon             the real binaries on a private socket; the public varlink client (no privileges)
#   scripts/ci.sh netns              real devices in namespaces (root)
#   scripts/ci.sh oracle             a real kernel bridge and bond still do what was recorded (User-mode Linux)
#   scripts/ci.sh bond-lab           bonds against the real Linux driver in a guest (root, User-mode Linux)
#   scripts/ci.sh podman-lab         containers of podman on a network of ours (root, podman)
#   scripts/ci.sh guest-lab          QEMU guests with DHCP in their VLANs (root, qemu-system-x86)
#   scripts/ci.sh demo               the demonstration, start to end (root)
#   scripts/ci.sh soak-smoke         full load on a switch that is changed every second, for 15 seconds (root)
#   scripts/ci.sh bench-smoke        every bench runs, briefly, and allocates nothing where it must not (io: root)
#   scripts/ci.sh doc                rustdoc of everything, warnings as errors
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(gcc libc6-dev iproute2 iputils-ping ethtool tcpdump iperf3 nftables python3 python3-venv
  user-mode-linux openvswitch-switch containernetworking-plugins podman runc busybox-static
  qemu-system-x86 dnsmasq-base cpio)

step() {
  printf '\n== %s\n' "$*"
}

need_root() {
  if [ "$(id -u)" != 0 ]; then
    echo "ci.sh $1: needs root for namespaces and devices; run: sudo scripts/ci.sh $1" >&2
    exit 1
  fi
}

run_packages() {
  need_root packages
  local missing=()
  for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ "${#missing[@]}" = 0 ] && return
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

run_fmt() { cargo fmt --all -- --check; }
run_lint() { cargo clippy --workspace --all-targets --quiet -- -D warnings; }
run_test() {
  cargo test --workspace --quiet --lib --bins
  cargo test --quiet -p vswctl -p vswitch-api -p vswitch-controller -p vswitch-core -p vswitch-lacp
  cargo test --quiet -p vswitch-tests --test sim --test tidy
}
run_schedule() { scripts/schedule-tests.sh; }
run_daemon() {
  local target=${CARGO_TARGET_DIR:-target}
  local venv=$target/varlink-venv
  cargo build --quiet -p vswitchd -p vswctl -p vswitch-cni
  cargo test --quiet -p vswitch-tests --test daemon --test deploy
  if { [ -x "$venv/bin/pip" ] || python3 -m venv "$venv"; } && "$venv/bin/pip" install --quiet varlink==31.0.0; then
    "$venv/bin/python" tests/daemon/varlink_client.py "$target/debug/vswitchd"
  else
    echo "SKIPPED: the public varlink client for Python: pip cannot install it here" >&2
  fi
}
run_netns() {
  need_root netns
  cargo build --quiet -p vswitchd -p vswctl -p vswitch-cni
  cargo test --quiet -p vswitch-io --features testing -- --test-threads=1
  cargo test --quiet -p vswitch-tests --test netns -- --test-threads=1
}
run_oracle() {
  local oracle status
  for oracle in kernel-oracle bond-oracle; do
    status=0
    "scripts/$oracle" --check || status=$?
    if [ "$status" = 77 ]; then
      echo "SKIPPED: scripts/$oracle; see above for what to install" >&2
    elif [ "$status" != 0 ]; then
      return "$status"
    fi
  done
}
# A lab says with 77 that something that it needs is not installed.
run_lab() {
  need_root "$1"
  local status=0
  "scripts/$1" || status=$?
  if [ "$status" = 77 ]; then
    echo "SKIPPED: scripts/$1; see above for what to install" >&2
  else
    return "$status"
  fi
}
run_bond-lab() { run_lab bond-lab; }
run_podman-lab() { run_lab podman-lab; }
run_guest-lab() { run_lab guest-lab; }
run_demo() { need_root demo && scripts/demo --once; }
run_soak-smoke() { need_root soak-smoke && scripts/soak --seconds 15 --debug; }
run_bench-smoke() { BENCH_SMOKE=1 cargo bench --quiet -p vswitch-benches --profile dev; }
# Its readers change this code, so private items are in it and public pages may link to them.
run_doc() {
  RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" \
    cargo doc --workspace --no-deps --document-private-items --quiet
}

run_all() {
  [ "$(id -u)" = 0 ] && { step packages; run_packages; }
  for name in fmt lint doc test schedule daemon netns oracle bond-lab podman-lab guest-lab demo soak-smoke bench-smoke; do
    step "$name"
    "run_$name"
  done
  step "all passed"
}

case "${1:-}" in
  all | packages | fmt | lint | test | schedule | daemon | netns | oracle | bond-lab | podman-lab | guest-lab | demo | soak-smoke | bench-smoke | doc) "run_$1" ;;
  *)
    sed -n '2,19s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac

#!/bin/sh
# Schedule tests of vswitch-core: they must pass, and each must fail on its mutant.
# Needs nothing; builds into target/shuttle. Exit 0: all as it should be; 1: not.
set -eu
cd "$(dirname "$0")/.."

tests() { # FLAGS
  RUSTFLAGS="--cfg shuttle $1" CARGO_TARGET_DIR=target/shuttle \
    cargo test --quiet -p vswitch-core --lib schedule_ 2>&1
}

tests ""
for mutant in no_reuse_check no_second_look; do
  RUSTFLAGS="--cfg shuttle --cfg mutant=\"$mutant\"" CARGO_TARGET_DIR=target/shuttle \
    cargo test --quiet -p vswitch-core --lib --no-run
  if tests "--cfg mutant=\"$mutant\"" >/dev/null; then
    echo "the mutant $mutant lives: no schedule test notices it" >&2
    exit 1
  fi
  echo "mutant $mutant: killed"
done

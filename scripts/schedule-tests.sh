#!/usr/bin/env bash
# Schedule tests of vswitch-core: they must pass, and each must fail on its mutants.
#
# Needs nothing; one build into target/shuttle holds the code and all mutants, which an environment
# variable chooses (vswitch/core/src/sync.rs). Exit 0: all as it should be; 1: not.
set -euo pipefail
cd "$(dirname "$0")/.."

# mutant, the test that must notice it
mutants="
store_over_whatever_is_there  bond::copies::schedule::schedule_of_two_copies_one_is_let_in
no_second_look              fdb::schedule::schedule_two_workers_learn_one_address_once
no_reuse_check              fdb::schedule::schedule_a_reused_slot_never_answers_for_another_address
announce_first              mailbox::schedule::schedule_what_all_have_passed_is_held_by_none
free_at_the_first_to_pass   mailbox::schedule::schedule_what_a_worker_uses_the_publisher_keeps
free_in_use                 mailbox::schedule::schedule_what_a_worker_uses_the_publisher_keeps
newest_first                mailbox::schedule::schedule_a_port_is_named_only_while_it_can_be_sent_on
ask_at_once                 placement::schedule::schedule_a_port_that_leaves_during_a_move_comes_back_whole
say_before_giving           placement::schedule::schedule_a_port_that_leaves_during_a_move_comes_back_whole
earn_twice                  police::schedule::schedule_a_span_is_earned_once
newest_first                punt::schedule::schedule_what_had_room_arrives_once_and_in_order
trust_the_first_look        punt::schedule::schedule_what_had_room_arrives_once_and_in_order
overwrite_the_oldest        punt::schedule::schedule_what_had_room_arrives_once_and_in_order
"

export RUSTFLAGS="--cfg shuttle" CARGO_TARGET_DIR=target/shuttle
unset VSWITCH_MUTANT

tests() { # MUTANT ARGUMENTS...
  VSWITCH_MUTANT=$1 cargo test --quiet -p vswitch-core --lib -- "${@:2}" 2>&1
}

tests "" schedule_

# A mutant that nobody names, or a name that nothing spoils, would count for nothing.
in_code=$(grep -rhoE 'mutant\("[a-z_]+"\)' vswitch/core/src | cut -d'"' -f2 | sort -u)
in_list=$(awk 'NF {print $1}' <<<"$mutants" | sort -u)
if [ "$in_code" != "$in_list" ]; then
  echo "mutants in the code and in $0 differ:" >&2
  diff <(echo "$in_code") <(echo "$in_list") >&2 || true
  exit 1
fi

while read -r mutant test; do
  [ -n "$mutant" ] || continue
  # Its own assertion must fail: a test that is not there, or that broke otherwise, proves nothing.
  if said=$(tests "$mutant" --exact "$test"); then
    echo "the mutant $mutant lives: $test does not notice it" >&2
    exit 1
  elif ! grep -q 'test result: FAILED. 0 passed; 1 failed' <<<"$said"; then
    echo "the mutant $mutant: $test did not run to its end:" >&2
    echo "$said" >&2
    exit 1
  fi
  echo "mutant $mutant: killed by ${test##*::schedule_}"
done <<<"$mutants"

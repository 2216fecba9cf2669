#!/usr/bin/env bash
# Runs every test: unit, integration, the benchmarks once each, and the examples in the documentation.
# Fails when one fails, when one is marked as ignored, and when there is none.
# cargo-nextest is used where it is installed; RANQ_TEST_RUNNER=cargo takes plain `cargo test` all the same.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

if [ "${RANQ_TEST_RUNNER:-nextest}" = nextest ] && has cargo-nextest; then
    cargo nextest run --locked --all-targets --no-fail-fast --no-tests=fail
else
    cargo test --locked --all-targets --no-fail-fast
fi
cargo test --locked --doc

list() { cargo test --locked --quiet "$1" -- --list --format terse "${@:2}" | sed -n 's/: test$//p'; }

ignored=$(list --all-targets --ignored && list --doc --ignored)
[ -z "$ignored" ] || fail "ignored, so not run:"$'\n'"$ignored"
all=$(list --all-targets && list --doc)
[ -n "$all" ] || fail "there are no tests"
say "$(wc -l <<<"$all" | tr -d ' ') tests passed, none was skipped"

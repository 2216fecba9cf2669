#!/usr/bin/env bash
# Runs every test: unit, integration, the benchmarks once each, and the examples in the documentation.
# Fails when one fails, when one is marked as ignored, and when there is none.
# One process for all tests of a target: they share what takes long to make, such as the compiled schema of the API.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

cargo test --locked --all-targets --no-fail-fast
cargo test --locked --doc

list() { cargo test --locked --quiet "$1" -- --list --format terse "${@:2}" | sed -n 's/: test$//p'; }

ignored=$(list --all-targets --ignored && list --doc --ignored)
[ -z "$ignored" ] || fail "ignored, so not run:"$'\n'"$ignored"
all=$(list --all-targets && list --doc)
[ -n "$all" ] || fail "there are no tests"
say "$(wc -l <<<"$all" | tr -d ' ') tests passed, none was skipped"

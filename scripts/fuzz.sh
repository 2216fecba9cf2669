#!/usr/bin/env bash
# Tries each property of tests/fuzz/ with inputs at random for some minutes: scripts/fuzz.sh [MINUTES] [PART OF A NAME]
# It tells how many cases were tried, and the smallest case that fails. `make test` tries a few hundred of each.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

minutes=${1:-1}
case $minutes in
'' | *[!0-9]*) fail "how many minutes? $minutes" ;;
esac
# One after the other, so that the cases a second say something.
FUZZ_SECONDS=$((minutes * 60)) cargo test --locked --test fuzz -- --nocapture --test-threads 1 "${@:2}"

#!/usr/bin/env bash
# Runs tests/faults/: clients at work on two instances of the service, a fault at a random moment, and what stands afterwards held
# against what each client was told. Prints a line a round and a table at the end.
#
#   ROUNDS=200 SEED=1 FAULT=RedisPaused scripts/faults.sh
#
# ROUNDS is how many rounds there are (26), SEED the first one's number (random), FAULT the only fault (all in turn).
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

ROUNDS=${ROUNDS:-26} cargo test --locked --test faults -- --nocapture

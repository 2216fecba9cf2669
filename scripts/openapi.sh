#!/usr/bin/env bash
# Writes openapi/ anew from the routes: scripts/openapi.sh. With --check, says whether that would change something.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The release build, as for everything else that runs the service.
cargo build --quiet --release --locked
"$TARGET/release/ranq" openapi >"$work/openapi.json"
"$TARGET/release/ranq" openapi --v3-0 >"$work/openapi-3.0.json"

case ${1:-} in
    --check) diff -ru openapi "$work" || fail "openapi/ is not what the routes say: run 'make openapi'" ;;
    '') cp "$work"/*.json openapi/ ;;
    *) fail "what is '$1'?" ;;
esac

#!/usr/bin/env bash
# How long a service takes from exec until it is ready: with an empty private Redis, and with one that has a leaderboard of so many entries to
# load again, each a few times.
#
#   scripts/start.sh [ENTRIES] [ROUNDS]
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

entries=${1:-1000000} rounds=${2:-5}
cargo build --quiet --release --locked
has curl || fail "this needs curl"

work=$(mktemp -d)
pid=
stop() {
    if [ -n "$pid" ]; then
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" || true
        pid=
    fi
}
trap 'stop; rm -rf "$work"' EXIT
for name in $(compgen -e RANQ_ || true); do unset "$name"; done

# Starts a service on this directory, and sets `took` (ms) and `listen`.
start() {
    local since=${EPOCHREALTIME/./}
    RANQ_LISTEN=127.0.0.1:0 RANQ_DATA_DIR=$1 RANQ_LOG_FORMAT=json "$TARGET/release/ranq" serve >"$work/log" 2>&1 &
    pid=$!
    listen=
    until [ -n "$listen" ] && curl -sf -o "$work/ready" "http://$listen/health/ready"; do
        kill -0 "$pid" 2>/dev/null || fail "the service did not start"
        [ -n "$listen" ] || read -r -t 0.002 <>"$work/pause" || true
        while read -r line; do
            [[ $line =~ \"listen\":\"([^\"]*)\" ]] && listen=${BASH_REMATCH[1]}
        done <"$work/log"
    done
    took=$(((${EPOCHREALTIME/./} - since) / 1000))
}

mkfifo "$work/pause"
empty=()
for _ in $(seq "$rounds"); do
    rm -rf "$work/empty"
    start "$work/empty"
    empty+=("$took")
    stop
done
start "$work/full"
"$TARGET/release/ranq" bench --url "http://$listen" --entries "$entries" --workloads top --seconds 1 --keep >"$work/fill"
stop
full=()
for _ in $(seq "$rounds"); do
    start "$work/full"
    full+=("$took")
    stop
done
echo "ms until ready, empty: ${empty[*]}"
echo "ms until ready, with $entries entries: ${full[*]}"

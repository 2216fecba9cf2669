#!/usr/bin/env bash
# What an archive costs the hot path: the same loads on two services of their own, one with an archive in SQLite and one without, in turns.
#
#   scripts/archived.sh [ROUNDS] [SECONDS] [WORKLOADS]
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

rounds=${1:-3} seconds=${2:-5} workloads=${3:-submit,submit-batch,mixed,enqueue,jobs-next,jobs-batch}
cargo build --quiet --release --locked
work=$(mktemp -d)
declare -A pids=() urls=()
stop() {
    for pid in "${pids[@]}"; do
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" || true
    done
    rm -rf "$work"
}
trap stop EXIT
for name in $(compgen -e RANQ_ || true); do unset "$name"; done

# A load finds nothing of the one before: each turn has a service of its own.
serve() { # name
    local archive=none
    [ "$1" = without ] || archive=sqlite:archive.db
    start_service "$work/$1.log" RANQ_DATA_DIR="$work/$1" RANQ_ARCHIVE_URL=$archive
    pids[$1]=$service urls[$1]=http://$listen
    RANQ_LISTEN=$listen "$TARGET/release/ranq" healthcheck >/dev/null
}

load() { # name
    serve "$1"
    local file=$work/$1.json
    "$TARGET/release/ranq" bench --url "${urls[$1]}" --service-pid "${pids[$1]}" --seconds "$seconds" --workloads "$workloads" --json "$file" >"$work/$1.txt"
    rates "$1" "$file" >>"$work/rates"
    kill -TERM "${pids[$1]}"
    wait "${pids[$1]}" || true
    unset "pids[$1]"
    rm -rf "${work:?}/$1"
}

for round in $(seq "$rounds"); do
    # They take turns in going first.
    turns='without with'
    [ $((round % 2)) = 1 ] || turns='with without'
    for turn in $turns; do load "$turn"; done
done

compare_rates without with "$work/rates"

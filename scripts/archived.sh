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
    local archive=none listen=
    [ "$1" = off ] || archive=sqlite:archive.db
    RANQ_LISTEN=127.0.0.1:0 RANQ_DATA_DIR=$work/$1 RANQ_ARCHIVE_URL=$archive RANQ_LOG_FORMAT=json \
        "$TARGET/release/ranq" serve >"$work/$1.log" 2>&1 &
    pids[$1]=$!
    for _ in $(seq 100); do
        listen=$(sed -n 's/.*"listen":"\([^"]*\)".*/\1/p' "$work/$1.log" | head -n 1)
        [ -z "$listen" ] || break
        sleep 0.1
    done
    [ -n "$listen" ] || fail "the service did not start"
    urls[$1]=http://$listen
    RANQ_LISTEN=$listen "$TARGET/release/ranq" healthcheck >/dev/null
}

load() { # name
    serve "$1"
    local file=$work/$1.json
    "$TARGET/release/ranq" bench --url "${urls[$1]}" --service-pid "${pids[$1]}" --seconds "$seconds" --workloads "$workloads" --json "$file" >"$work/$1.txt"
    sed -n 's/^ *"\(workload\|requests_per_s\)": "\{0,1\}\([^",]*\).*/\2/p' "$file" | paste -d ' ' - - | sed "s/^/$1 /" >>"$work/rates"
    kill -TERM "${pids[$1]}"
    wait "${pids[$1]}" || true
    unset "pids[$1]"
    rm -rf "${work:?}/$1"
}

for round in $(seq "$rounds"); do
    # They take turns in going first.
    turns='off on'
    [ $((round % 2)) = 1 ] || turns='on off'
    for turn in $turns; do load "$turn"; done
done

printf '%-14s %14s %14s %7s\n' workload 'without req/s' 'with req/s' ratio
awk '{ if (!($2 in seen)) { order[++count] = $2; seen[$2] = 1 } sum[$1, $2] += $3; runs[$1, $2]++ }
    END { for (place = 1; place <= count; place++) {
        name = order[place]; off = sum["off", name] / runs["off", name]; with = sum["on", name] / runs["on", name]
        printf "%-14s %14.0f %14.0f %7.2f\n", name, off, with, with / off
    } }' "$work/rates"

#!/usr/bin/env bash
# What tokens and limits cost: the same loads on the service that scripts/with-service.sh has started, with a token that has a
# limit, and on an open one without limits, in turns.
#
#   scripts/with-service.sh scripts/guarded.sh [ROUNDS] [SECONDS] [WORKLOADS]
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

rounds=${1:-3} seconds=${2:-5} workloads=${3:-submit,submit-batch,top,rank,around,enqueue,jobs-next}
work=$(mktemp -d)
pid=
stop() {
    if [ -n "$pid" ]; then
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" || true
    fi
    rm -rf "$work"
}
trap stop EXIT

env -u RANQ_ADMIN_TOKEN RANQ_LISTEN=127.0.0.1:0 RANQ_DATA_DIR="$work/data" RANQ_LOG_FORMAT=json \
    "$TARGET/release/ranq" serve >"$work/log" 2>&1 &
pid=$!
open=
for _ in $(seq 100); do
    open=$(sed -n 's/.*"listen":"\([^"]*\)".*/\1/p' "$work/log" | head -n 1)
    [ -z "$open" ] || break
    sleep 0.1
done
[ -n "$open" ] || fail "the open service did not start"

# A limit that is counted, and that no load reaches.
token=$(curl -sS -f -X POST "$RANQ_URL/v1/tokens" -H "Authorization: Bearer $RANQ_ADMIN_TOKEN" -H 'Content-Type: application/json' \
    -d '{"name": "guarded", "scopes": ["admin"], "rate_limit": {"limit": 1000000000, "per_ms": 1000}}' |
    sed -n 's/.*"token":"\([^"]*\)".*/\1/p')

load() {
    local name=$1 url=$2 file=$work/$1.json
    shift 2
    "$TARGET/release/ranq" bench --url "$url" --seconds "$seconds" --workloads "$workloads" --json "$file" "$@" >"$work/$name.txt"
    # A line a workload: its name and its rate.
    sed -n 's/^ *"\(workload\|requests_per_s\)": "\{0,1\}\([^",]*\).*/\2/p' "$file" | paste -d ' ' - - | sed "s/^/$name /" >>"$work/rates"
}

for round in $(seq "$rounds"); do
    # They take turns in going first.
    turns='open guarded'
    [ $((round % 2)) = 1 ] || turns='guarded open'
    for turn in $turns; do
        case $turn in
            open) RANQ_ADMIN_TOKEN='' load open "http://$open" ;;
            guarded) RANQ_ADMIN_TOKEN=$token load guarded "$RANQ_URL" ;;
        esac
    done
done

printf '%-14s %12s %12s %7s\n' workload 'open req/s' 'guarded req/s' ratio
awk '{ if (!($2 in seen)) { order[++count] = $2; seen[$2] = 1 } sum[$1, $2] += $3; runs[$1, $2]++ }
    END { for (place = 1; place <= count; place++) {
        name = order[place]; open = sum["open", name] / runs["open", name]; guarded = sum["guarded", name] / runs["guarded", name]
        printf "%-14s %12.0f %12.0f %7.2f\n", name, open, guarded, guarded / open
    } }' "$work/rates"

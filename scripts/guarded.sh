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
service=
stop() {
    if [ -n "$service" ]; then
        kill -TERM "$service" 2>/dev/null || true
        wait "$service" || true
    fi
    rm -rf "$work"
}
trap stop EXIT

start_service "$work/log" -u RANQ_ADMIN_TOKEN RANQ_DATA_DIR="$work/data" RANQ_ARCHIVE_URL=none
open=$listen

# A limit that is counted, and that no load reaches.
token=$(curl -sS -f -X POST "$RANQ_URL/v1/tokens" -H "Authorization: Bearer $RANQ_ADMIN_TOKEN" -H 'Content-Type: application/json' \
    -d '{"name": "guarded", "scopes": ["admin"], "rate_limit": {"limit": 1000000000, "per_ms": 1000}}' |
    sed -n 's/.*"token":"\([^"]*\)".*/\1/p')

load() {
    local name=$1 url=$2 file=$work/$1.json
    shift 2
    "$TARGET/release/ranq" bench --url "$url" --seconds "$seconds" --workloads "$workloads" --json "$file" "$@" >"$work/$name.txt"
    rates "$name" "$file" >>"$work/rates"
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

compare_rates open guarded "$work/rates"

#!/usr/bin/env bash
# Whether memory grows: mixed load at a steady pace for so many minutes on the service that scripts/with-service.sh has started, and after each
# round what the service and its Redis have in memory. Leaderboards and queues come and go, as do subscribers and waiting workers.
#
#   scripts/with-service.sh scripts/soak.sh [MINUTES]
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

minutes=${1:-60}
redis=$(redis-cli -s "$REDIS_SOCKET" info | tr -d '\r' | sed -n 's/^process_id://p')
megabytes() { awk '/^VmRSS/ { printf "%.1f", $2 / 1000 }' "/proc/$1/status"; }
load() { "$TARGET/release/ranq" bench --url "$RANQ_URL" --connections 16 "$@" >/dev/null; }

printf '%-6s %10s %10s\n' minute 'service MB' 'Redis MB'
while [ $SECONDS -lt $((60 * minutes)) ]; do
    load --seconds 15 --rate 400 --entries 20000 --workloads mixed
    load --seconds 15 --rate 200 --waiters 200 --workloads sse
    load --seconds 15 --rate 300 --workloads jobs-next
    load --seconds 15 --rate 200 --waiters 200 --workloads wake
    printf '%-6s %10s %10s\n' "$((SECONDS / 60))" "$(megabytes "$SERVICE_PID")" "$(megabytes "$redis")"
done

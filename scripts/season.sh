#!/usr/bin/env bash
# Runs seasons of 20 seconds with rewards through: two instances on one Redis, clients that submit, an instance that is killed and started
# anew around each end, a worker that takes the rewards. At the end every reward must have come once: scripts/season.sh [SEASONS]
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

seasons=${1:-2} ranq=${RANQ:-$TARGET/debug/ranq}
work=$(mktemp -d)
pids=()
stop() {
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap stop EXIT
redis-server --port 0 --save '' --unixsocket "$work/redis.sock" >"$work/redis.log" &
pids+=($!)
until redis-cli -s "$work/redis.sock" ping >/dev/null 2>&1; do sleep 0.1; done

serve() { # port
    "$ranq" serve --listen "127.0.0.1:$1" --data-dir "$work/$1" --redis-url "unix://$work/redis.sock" 2>>"$work/$1.log" &
    served=$!
    pids+=("$served")
    until curl -fs "127.0.0.1:$1/health/ready" >/dev/null; do sleep 0.1; done
}
serve 18411
serve 18412
killed=$served
board=127.0.0.1:18411/v1/leaderboards/season
curl -fsS -X PUT "$board" -H 'content-type: application/json' -d '{"on_close": {"queue": "rewards"},
  "windows": [{"name": "season", "reset": "*/20 * * * * *", "keep": 100}],
  "rewards": [{"window": "season", "to_rank": 3, "queue": "rewards", "payload": {"gems": 500}},
    {"window": "season", "from_rank": 4, "to_rank": 1000, "queue": "rewards", "payload": {"gems": 10}}]}' >/dev/null

"$ranq" worker --url http://127.0.0.1:18411 --queue rewards --concurrency 4 --exec sh -- -c "jq -c . >>'$work/paid'" 2>"$work/worker.log" &
pids+=($!)
submit() { # client
    while :; do
        curl -s -X POST "127.0.0.1:1841$((RANDOM % 2 + 1))/v1/leaderboards/season/scores" -H 'content-type: application/json' \
            -d "{\"member\": \"c$1-$((RANDOM % 100))\", \"score\": $RANDOM}" >/dev/null || true
    done
}
for client in 1 2; do
    submit "$client" &
    pids+=($!)
done
clients=("${pids[@]: -2}")

for ((season = 0; season < seasons; season++)); do
    left=$((20 - $(date +%s) % 20))
    sleep "$((left - 1)).$((RANDOM % 10))"
    sleep 0.$((RANDOM % 10))
    kill -9 "$killed"
    say "season $season: an instance was killed around its end"
    sleep 0.5
    serve 18412
    killed=$served
done
kill "${clients[@]}"
sleep 1
# The season that is open is closed by hand.
curl -fsS -X POST "$board/windows/season/close" -H 'content-type: application/json' >&2
say
until [ "$(curl -fs "$board/windows/season/periods" | jq '[.periods[] | select(.state == "closing")] | length')" = 0 ]; do sleep 0.2; done
until [ "$(curl -fs 127.0.0.1:18411/v1/queues/rewards | jq '.counts.ready + .counts.active')" = 0 ]; do sleep 0.2; done
expected=$(curl -fs "$board/windows/season/periods?limit=1000" | jq '[.periods[] | select(.state == "closed").entries] | add')
periods=$(curl -fs "$board/windows/season/periods?limit=1000" | jq '[.periods[] | select(.state == "closed")] | length')
paid=$(jq -r 'select(.member).member' "$work/paid" | wc -l)
distinct=$(jq -r 'select(.member) | [.period, .member] | @tsv' "$work/paid" | sort -u | wc -l)
told=$(jq -r 'select(.type).period' "$work/paid" | sort -u | wc -l)
say "$periods seasons closed, $told told; $expected entries, $paid rewards, $distinct distinct"
if [ "$expected" != "$paid" ] || [ "$paid" != "$distinct" ] || [ "$periods" != "$told" ]; then
    fail "a reward is missing or came twice"
fi

#!/usr/bin/env bash
# Runs a season through the archive on the service that scripts/with-service.sh has started with one (ARCHIVE): it is filled, closed,
# archived and freed from Redis, and what is read of it then must be, byte for byte, what was read of it before. Tells what Redis had in memory before and
# after, and how long reads take from Redis, from the database, and what was read from there lately.
#
#   ARCHIVE=sqlite:archive.db scripts/with-service.sh scripts/cold-season.sh [ENTRIES]
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

entries=${1:-100000} reads=200
has jq || fail "this needs jq"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
board=$RANQ_URL/v1/leaderboards/season

call() { curl -sS --fail-with-body -H "Authorization: Bearer $RANQ_ADMIN_TOKEN" "$@"; }
json() { call -o /dev/null -H 'Content-Type: application/json' "$@"; }
used() { redis-cli -s "$REDIS_SOCKET" info memory | tr -d '\r' | sed -n 's/^used_memory://p'; }

# Reads all that the file names, one after another; prints p50 and p99 in ms and how often Cache-Status was what.
timed() { # file
    local line
    while read -r line; do
        call -o /dev/null -w '%{time_starttransfer} %{time_pretransfer} %header{cache-status}\n' "$line"
    done <"$1" >"$work/times"
    awk '{ printf "%.3f\n", ($1 - $2) * 1000 }' "$work/times" | sort -n | awk '{ t[NR] = $1 } END { printf "p50 %.2f ms, p99 %.2f ms", t[int((NR + 1) / 2)], t[int(NR * 0.99)] }'
    cut -d ' ' -f 3- "$work/times" | sort | uniq -c | awk '{ n = $1; $1 = ""; printf "; %s times%s", n, $0 } END { print "" }'
}

json -X PUT "$board" -d '{"segments": ["country"], "windows": [{"name": "season", "keep": 1}]}'
before=$(used)
# Scores with ties, segments and metadata.
awk -v entries="$entries" 'BEGIN { srand(7); split("KR DE US BR JP", countries, " "); for (i = 0; i < entries; i++)
    printf "{\"member\":\"member-%07d\",\"score\":%d,\"segments\":{\"country\":\"%s\"},\"metadata\":{\"n\":%d}}\n",
        i, int(rand() * entries / 2), countries[1 + int(rand() * 5)], i }' >"$work/rows"
split -l 1000 "$work/rows" "$work/batch-"
for batch in "$work"/batch-*; do
    jq -cs '{scores: .}' "$batch" | json -X POST "$board/scores/batch" -d @-
done
period=$(call -X POST "$board/windows/season/close" | jq -r .period)
full=$(used)

view="window=season&period=$(jq -rn --arg period "$period" '$period | @uri')"
{
    for ranking in ordinal competition dense; do
        echo "$board/rankings?$view&limit=1000&ranking=$ranking"
        echo "$board/rankings?$view&offset=$((entries / 2))&limit=100&ranking=$ranking"
        echo "$board/members/member-0000042?$view&ranking=$ranking"
    done
    echo "$board/rankings?$view&segment=country:KR&limit=1000"
    echo "$board/members/member-0000042/around?$view&radius=50"
    echo "$board/around?$view&score=$((entries / 4))&radius=50"
    echo "$board/distribution?$view&buckets=50"
} >"$work/kinds"
# Members, each once.
for number in $(seq "$reads"); do
    printf '%s/members/member-%07d?%s\n' "$board" $((number * entries / (reads + 1))) "$view"
done >"$work/members"

everything() { while read -r line; do call "$line"; echo; done <"$work/kinds"; }
everything >"$work/live"
echo "live:   $(timed "$work/members")"

# The season after it ends as well: the first is beyond what is kept.
json -X POST "$board/scores" -d '{"member": "next", "score": 1}'
started=${EPOCHREALTIME/./}
json -X POST "$board/windows/season/close"
until [ "$(call "$board/windows/season/periods" | jq -r --arg period "$period" '.periods[] | select(.period == $period) | .state')" = archived ]; do
    sleep 0.1
done
echo "archived and freed after $(((${EPOCHREALTIME/./} - started) / 1000)) ms ($entries entries)"
[ -z "$(redis-cli -s "$REDIS_SOCKET" --scan --pattern "*season:$period*" | head -n 1)" ] || fail "something is left in Redis"
sleep 1
freed=$(used)
everything >"$work/cold"
echo "cold:   $(timed "$work/members")"
echo "cached: $(timed "$work/members")"
everything >"$work/cached"
diff "$work/live" "$work/cold" >&2 || fail "what is read from the database differs"
diff "$work/live" "$work/cached" >&2 || fail "what is read the second time differs"
echo "the same $(wc -l <"$work/live") answers live, cold and cached: $(wc -c <"$work/live") bytes"
echo "Redis used_memory: $before before, $full with the season, $freed after it was freed"

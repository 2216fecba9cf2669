#!/usr/bin/env bash
# ranq's queues beside BullMQ, which its users would otherwise pick, on this machine in turns; beside Sidekiq too, where it is
# installed (6, Debian: ruby-sidekiq). Each turn is one workload of one of them, with an empty Redis of its own; all have the same settings.
#
#   scripts/peer.sh [SECONDS [ROUNDS [WORKLOADS]]]
#
# By default 5 seconds, 3 rounds and all: enqueue,enqueue-batch,jobs,jobs-next,jobs-batch,wake. Prints medians. The peers have no
# server: their processes talk to Redis themselves. They are measured as one process and as two, and the better stands in the table:
# `add,work` is one that adds and one that works, `both` one that does both. Needs node and npm.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

seconds=${1:-5} rounds=${2:-3} workloads=${3:-enqueue,enqueue-batch,jobs,jobs-next,jobs-batch,wake}
# Workers that wait in `wake`; the peers' files have the same number.
waiters=64

for program in node npm redis-server redis-cli; do has "$program" || fail "$program is needed"; done
peers=bullmq
# Later ones are started in other ways.
! sidekiq --version 2>/dev/null | grep -q '^Sidekiq 6\.' || peers+=' sidekiq'
cargo build --quiet --release --locked
work=$(mktemp -d)
redis_pid='' service_pid=''
end() { # PID
    [ -n "$1" ] || return 0
    kill -TERM "$1" 2>/dev/null || true
    wait "$1" || true
}
stop() {
    end "$service_pid"
    end "$redis_pid"
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM
for name in $(compgen -e RANQ_ || true); do unset "$name"; done

# The newest, for this run alone. What talks to Redis is a package of its own.
npm install --silent --no-audit --no-fund --no-package-lock --prefix "$work" bullmq ioredis >&2
cp scripts/peer/bullmq.mjs scripts/peer/sidekiq.rb "$work"

serve() {
    # The peers have no archive.
    start_service "$work/ranq.log" RANQ_DATA_DIR="$work/ranq" RANQ_ARCHIVE_URL=none
    service_pid=$service url=http://$listen
    RANQ_LISTEN=$listen "$TARGET/release/ranq" healthcheck >/dev/null
}

end_service() {
    end "$service_pid"
    service_pid=
    rm -rf "${work:?}/ranq"
}

# As src/db/embedded.rs starts it.
start_redis() {
    local settings=(--port 0 --unixsocketperm 700 --save '' --appendonly yes --appendfsync everysec)
    settings+=(--auto-aof-rewrite-min-size 256mb --maxmemory-policy noeviction --zset-max-listpack-entries 16 --latency-tracking no)
    for lazy in eviction expire server-del user-del user-flush; do settings+=("--lazyfree-lazy-$lazy" yes); done
    mkdir "$work/redis"
    redis-server "${settings[@]}" --unixsocket "$work/redis/redis.sock" --dir "$work/redis" --logfile "$work/redis/redis.log" &
    redis_pid=$!
    for _ in $(seq 100); do
        [ ! -S "$work/redis/redis.sock" ] || return 0
        sleep 0.1
    done
    fail "redis-server did not start"
}

end_redis() {
    end "$redis_pid"
    redis_pid=
    rm -rf "${work:?}/redis"
}

# All settings but those that are paths.
settings() { redis-cli -s "$1" config get '*' | paste - - | grep -Ev '^(dir|logfile|unixsocket)\b' | sort; }

same_settings() {
    serve
    start_redis
    diff <(settings "$work/ranq/redis/redis.sock") <(settings "$work/redis/redis.sock") >&2 || fail "the two Redis have other settings"
    end_service
    end_redis
}

# A line a figure: who, as which processes, what of which workload, and how much.
note() { printf '%s\n' "$*" >>"$work/figures"; }

turn_of_ranq() { # WORKLOAD
    local file=$work/bench.json
    serve
    "$TARGET/release/ranq" bench --url "$url" --seconds "$seconds" --workloads "$1" --waiters $waiters --json "$file" >"$work/bench.txt" ||
        fail "ranq bench failed at $1"
    end_service
    figure() { sed -n "/\"workload\": \"$1\"/,\$ s/^ *\"$2\": \([0-9.]*\).*/\1/p" "$file" | head -n 1; }
    case $1 in
        wake) note "ranq - wake $(figure wake p50_ms) $(figure wake p99_ms)" ;;
        *) note "ranq - $1 $(figure "$1" jobs_per_s)" ;;
    esac
}

turn_of_peer() { # PEER WORKLOAD PROCESSES
    local figures run=(node bullmq.mjs)
    [ "$1" = bullmq ] || run=(ruby sidekiq.rb)
    start_redis
    figures=$(cd "$work" && "${run[@]}" "$work/redis/redis.sock" "$2" "$seconds" "$3")
    note "$1 $3 $2 $figures"
    end_redis
}

# As which processes they may run. They end a job and take the next as they do by themselves, so `jobs` stands for `jobs-next` too.
turns_of_peer() { # PEER WORKLOAD
    local processes
    case $2 in
        enqueue | enqueue-batch) processes='add add,add' ;;
        jobs | jobs-batch) processes='both add,work both,both' ;;
        jobs-next) [[ ,$workloads, != *,jobs,* ]] || return 0; turns_of_peer "$1" jobs; return ;;
        wake) processes=add,work ;;
        *) fail "what is '$2'?" ;;
    esac
    for roles in $processes; do turn_of_peer "$1" "$2" "$roles"; done
}

same_settings
for round in $(seq "$rounds"); do
    say "round $round of $rounds"
    for workload in ${workloads//,/ }; do
        # They take turns in going first.
        turns="ranq $peers"
        [ $((round % 2)) = 1 ] || turns="$peers ranq"
        for turn in $turns; do
            if [ "$turn" = ranq ]; then turn_of_ranq "$workload"; else turns_of_peer "$turn" "$workload"; fi
        done
    done
done

printf 'ranq %s, BullMQ %s (node %s)' "$("$TARGET/release/ranq" --version | cut -d ' ' -f 2)" \
    "$(sed -n 's/^ *"version": "\(.*\)",/\1/p' "$work/node_modules/bullmq/package.json")" "$(node --version)"
[ "$peers" = bullmq ] || printf ', %s (ruby %s)' "$(sidekiq --version)" "$(ruby -e 'print RUBY_VERSION')"
printf ', %s rounds of %s s, medians\n\n' "$rounds" "$seconds"
# The figures of each in order, then the middle one; of a peer's the best of its processes.
sort -k 1,3 -k 4n "$work/figures" >"$work/by-first"
sort -k 1,3 -k 5n "$work/figures" | awk '$3 == "wake" { print $1, $2, "wake-p99", $5 }' >"$work/by-second"
cat "$work/by-first" "$work/by-second" | awk -v peers="$peers" -v workloads="${workloads/wake/wake,wake-p99}" '
    { key = $1 SUBSEP $2 SUBSEP $3; value[key, ++count[key]] = $4 }
    END {
        for (key in count) {
            split(key, part, SUBSEP)
            middle = (value[key, int((count[key] + 1) / 2)] + value[key, int(count[key] / 2) + 1]) / 2
            if (middle > best[part[1], part[3]]) { best[part[1], part[3]] = middle; roles[part[1], part[3]] = part[2] }
        }
        many = split(peers, peer, " ")
        title["bullmq"] = "BullMQ"; title["sidekiq"] = "Sidekiq"
        printf "%-14s %10s", "workload", "ranq"
        for (p = 1; p <= many; p++) printf " %10s %7s  %-9s", title[peer[p]], "ratio", "processes"
        print ""
        rows = split(workloads, row, ",")
        for (r = 1; r <= rows; r++) {
            unit = row[r] ~ /^wake/ ? "%10.2f" : "%10.0f"
            shown = row[r] == "wake" ? "wake-p50 ms" : row[r] == "wake-p99" ? "wake-p99 ms" : row[r]
            mine = best["ranq", row[r]]
            printf "%-14s " unit, shown, mine
            for (p = 1; p <= many; p++) {
                like = peer[p] SUBSEP (row[r] == "jobs-next" ? "jobs" : row[r])
                if (best[like] > 0) printf " " unit " %7.2f  %-9s", best[like], mine / best[like], roles[like]
                else printf " %10s %7s  %-9s", "", "", ""
            }
            print ""
        }
    }'

#!/usr/bin/env bash
# The micro-benchmarks, then loads on services of their own. With --quick, only as long as it takes to see that all run.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

case ${1:-} in
    --quick)
        cargo bench --locked --bench pure -- --quick
        seconds=1 entries=1000 connections=16 rate=200 wake=100 idle=500 hold=1 jobs=20000
        growth='1000 5000' backlog='100 2000'
        ;;
    '')
        cargo bench --locked --bench pure
        seconds=5 entries=10000 connections='16 64' rate=2000 wake=1000 idle=10000 hold=20 jobs=1000000
        growth='10000 1000000' backlog='1000 1000000'
        ;;
    *) fail "what is '$1'?" ;;
esac

load() { scripts/with-service.sh scripts/load.sh "$@"; }

LIMIT=yes load --seconds "$seconds" --entries "$entries" --workloads submit,submit-batch,top,rank,around,mixed
load --seconds "$seconds" --entries "$entries" --workloads submit,mixed,enqueue --rate "$rate"
load --seconds "$seconds" --entries "$entries" --workloads submit,submit-3-windows,submit-6-windows,submit-2-segments
for number in $connections; do
    LIMIT=yes load --seconds "$seconds" --connections "$number" --workloads enqueue,enqueue-batch,jobs,jobs-next,jobs-batch
done
for number in $growth; do
    load --seconds "$seconds" --entries "$number" --workloads submit,top,rank,around
done
for number in $backlog; do
    load --seconds "$seconds" --backlog "$number" --workloads enqueue,jobs,jobs-next
done
load --seconds "$seconds" --workloads wake --waiters "$wake"
load --seconds "$seconds" --workloads sse --waiters "$wake"
# Memory is told of services that have done nothing else before.
load --seconds "$hold" --connections 1 --workloads idle --waiters "$idle"
JOBS=$jobs load --seconds 1 --connections 1 --workloads fill --jobs "$jobs" --keep

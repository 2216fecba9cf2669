#!/usr/bin/env bash
# Runs the tests of the API on Redis with Sentinels, and on a Redis Cluster of three masters: DEPLOYMENTS names others ("cluster").
#
# Not again what is about the private Redis of a service, or starts a Redis of its own: it runs in scripts/test.sh.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

elsewhere=(
    # The private Redis: it is killed, and comes back by itself.
    restart:: process::
    live::streams_go_on_after_redis_was_killed
    races::a_redis_that_is_killed_in_the_middle
    outlives_a_redis_that_is_killed
    # One server is asked for its figures, which a Cluster has no sum of.
    operations::a_ready_service_says_what_its_redis_is
    tokens::a_flood_of_bad_tokens_costs_redis_nothing
    live::nothing_is_published_where_nobody_watches together::what_administrators_change_is_seen_live
    # A Redis of their own.
    redis_rights:: redis_tls:: failover:: rounds::
    # HTTP alone, whatever is behind.
    browsers:: connections:: https:: lines:: openapi:: slow_clients::
)
skip=()
for name in "${elsewhere[@]}"; do skip+=(--skip "$name"); done

for kind in ${DEPLOYMENTS:-sentinel cluster}; do
    say "the tests of the API on: $kind"
    RANQ_TEST_REDIS=$kind cargo test --locked --test api -- "${skip[@]}"
done

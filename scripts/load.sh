#!/usr/bin/env bash
# `ranq bench` on the service that scripts/with-service.sh has started, with what its processes use. With LIMIT, the calls
# straight to its Redis are measured too. With JOBS, as many jobs are left there, and what Redis has for each is told too.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

info() { redis-cli -s "$REDIS_SOCKET" info | tr -d '\r' | sed -n "s/^$1://p"; }

load=("$TARGET/release/ranq" bench --url "$RANQ_URL" --service-pid "$SERVICE_PID")
# The socket is elsewhere where its path would be too long.
if ! has redis-cli || ! [ -S "$REDIS_SOCKET" ]; then
    exec "${load[@]}" "$@"
fi
[ -z "${LIMIT:-}" ] || load+=(--redis-url "unix://$REDIS_SOCKET")
before=$(info used_memory)
"${load[@]}" --redis-pid "$(info process_id)" "$@"
if [ -n "${JOBS:-}" ]; then
    echo "    redis    used_memory $((($(info used_memory) - before) / JOBS)) bytes each"
fi

#!/usr/bin/env bash
# Runs a command against a service of its own, on a free port with an empty data directory:
#
#   scripts/with-service.sh COMMAND [ARGUMENT...]
#
# With ARCHIVE (sqlite:PATH or postgres://...) it has an archive. The command finds it by RANQ_URL, RANQ_LISTEN and RANQ_ADMIN_TOKEN, its process by SERVICE_PID, and the socket of its
# Redis by REDIS_SOCKET. The service is stopped afterwards, whatever
# happened. Fails when the command fails, and when the service panics or does not stop cleanly.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

[ $# -gt 0 ] || fail "a command is needed"
cargo build --quiet --release --locked

work=$(mktemp -d)
log=$work/log
service=

stop() {
    local code=$? stopped=0
    trap - EXIT
    if [ -n "$service" ]; then
        kill -TERM "$service" 2>/dev/null || true
        wait "$service" || stopped=$?
        [ $stopped = 0 ] || { say "error: the service ended with $stopped"; code=1; }
    fi
    if grep -q panicked "$log"; then
        say "error: the service panicked"
        code=1
    fi
    [ $code = 0 ] || { say "The end of the service's log:"; tail -n 30 "$log" >&2; }
    rm -rf "$work"
    exit "$code"
}
trap stop EXIT
trap 'exit 130' INT TERM

# Settings of whoever calls are not for this service.
for name in $(compgen -e RANQ_ || true); do unset "$name"; done
RANQ_ADMIN_TOKEN=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
export RANQ_ADMIN_TOKEN
start_service "$log" RANQ_DATA_DIR="$work/data" RANQ_ARCHIVE_URL="${ARCHIVE:-none}"
export RANQ_LISTEN=$listen RANQ_URL=http://$listen SERVICE_PID=$service REDIS_SOCKET=$work/data/redis/redis.sock
"$TARGET/release/ranq" healthcheck

"$@"

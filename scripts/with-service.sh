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
pid=

stop() {
    local code=$? stopped=0
    trap - EXIT
    if [ -n "$pid" ]; then
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" || stopped=$?
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
RANQ_LISTEN=127.0.0.1:0 RANQ_DATA_DIR=$work/data RANQ_ARCHIVE_URL=${ARCHIVE:-none} RANQ_LOG_FORMAT=json \
    "$TARGET/release/ranq" serve >"$log" 2>&1 &
pid=$!

RANQ_LISTEN=
for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || fail "the service did not start"
    RANQ_LISTEN=$(sed -n 's/.*"listen":"\([^"]*\)".*/\1/p' "$log" | head -n 1)
    [ -z "$RANQ_LISTEN" ] || break
    sleep 0.1
done
[ -n "$RANQ_LISTEN" ] || fail "the service did not say where it listens"
export RANQ_LISTEN RANQ_URL=http://$RANQ_LISTEN SERVICE_PID=$pid REDIS_SOCKET=$work/data/redis/redis.sock
"$TARGET/release/ranq" healthcheck

"$@"

#!/usr/bin/env bash
# Builds the service and runs it in the foreground, after telling how to reach it. RANQ_* settings are honoured.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

# With a Redis of one's own, none is needed here.
if [ -n "${RANQ_REDIS_URL:-}" ]; then scripts/setup.sh build; else scripts/setup.sh run; fi
cargo build --release --locked

listen=${RANQ_LISTEN:-}
if [ -z "$listen" ] && [ -n "${RANQ_CONFIG:-}" ]; then
    listen=$(sed -n 's/^listen *= *"\(.*\)".*/\1/p' "$RANQ_CONFIG")
fi
listen=${listen:-127.0.0.1:8080}
case $listen in
    0.0.0.0:* | "[::]:"*) url=http://127.0.0.1:${listen##*:} ;;
    *) url=http://$listen ;;
esac
# The token itself is not for the screen.
# shellcheck disable=SC2016
if [ -n "${RANQ_ADMIN_TOKEN:-}" ]; then auth=' -H "Authorization: Bearer $RANQ_ADMIN_TOKEN"'; else auth=; fi

cat <<TEXT

  Swagger UI          $url/docs/
  Submit a score      curl$auth --json '{"member":"alice","score":1500}' $url/v1/leaderboards/race/scores
  Read the ranking    curl$auth $url/v1/leaderboards/race/rankings
  Stop                Ctrl-C

TEXT
exec "$TARGET/release/ranq" serve

#!/usr/bin/env bash
# Sends what the OpenAPI document allows, and what it does not, to a service of its own, and holds every answer against
# the document. What is checked, and what is not and why, stands in scripts/schemathesis.toml.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

SCHEMATHESIS=4.32.5

venv=$TOOLS/schemathesis-$SCHEMATHESIS
if [ ! -e "$venv/complete" ]; then
    has python3 || fail "python3 is needed"
    say "Installing schemathesis $SCHEMATHESIS into ${venv#"$PWD"/}"
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        has apt-get || fail "python3 lacks the module venv"
        apt_install python3-venv
    fi
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$SCHEMATHESIS"
    touch "$venv/complete"
fi

# send METHOD PATH BODY
send() {
    curl --silent --show-error --fail --output /dev/null -X "$1" -H "Authorization: Bearer $RANQ_ADMIN_TOKEN" --json "$3" \
        "$RANQ_URL/v1/$2"
}

# What scripts/schemathesis.toml names.
seed() {
    local board
    for board in race race-2; do
        curl --silent --show-error --fail --output /dev/null -H "Authorization: Bearer $RANQ_ADMIN_TOKEN" \
            --json '{"scores":[{"member":"alice","score":1500},{"member":"bob","score":1250.5}]}' \
            "$RANQ_URL/v1/leaderboards/$board/scores/batch"
    done
    local queue
    for queue in emails spare; do
        send POST "queues/$queue/jobs" '{"id": "welcome-ann", "payload": {"to": "ann@example.com"}}'
        send POST "queues/$queue/jobs" '{"id": "later", "payload": 1, "delay_ms": 3600000}'
        send PUT "queues/emails/schedules/$queue" '{"cron": "0 3 * * *", "payload": 1}'
        send PUT "queues/emails/schedules/nightly" '{"cron": "0 3 * * *", "payload": 1}'
    done
}

# Whatever Hypothesis keeps goes with the other helpers.
export HYPOTHESIS_STORAGE_DIRECTORY=$TOOLS/hypothesis

if [ "${1:-}" = --inside ]; then
    seed
    exec "$venv/bin/st" --config-file scripts/schemathesis.toml run openapi/openapi.json "${@:2}"
fi
exec scripts/with-service.sh "$0" --inside "$@"

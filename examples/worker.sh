#!/bin/sh
# A worker in plain shell, with curl and awk alone. It runs a command for each job, one at a time, the payload on its
# standard input; exit code 0 completes the job, any other one is tried again. (`ranq worker --exec` does more.)
#
#   RANQ_URL=http://127.0.0.1:8080 examples/worker.sh emails ./send.sh
set -u

[ $# -ge 2 ] || { echo "usage: $0 QUEUE COMMAND [ARGUMENT...]" >&2; exit 2; }
queue=$1
shift
url=${RANQ_URL:-http://127.0.0.1:8080}
lease_ms=${LEASE_MS:-30000}
command -v curl >/dev/null || { echo "$0 needs curl" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# In a file, so that the token is not in the list of processes.
printf 'silent\nshow-error\nfail-with-body\nheader = "Content-Type: application/json"\n' >"$work/curl"
[ -z "${RANQ_TOKEN:-}" ] || printf 'header = "Authorization: Bearer %s"\n' "$RANQ_TOKEN" >>"$work/curl"

# post PATH BODY: the answer on standard output; fails unless it is a good one.
post() { curl --config "$work/curl" --max-time 10 --data "$2" "$url/v1/queues/$queue/$1"; }

# field NAME <ANSWER: a field of the first job as it was sent, for example a text with its quotes. A payload may have
# fields of the same name, so it counts how deep it is.
field() {
    LC_ALL=C awk -v want="\"$1\"" '
        { text = text $0 "\n" }
        END {
            for (at = 1; at <= length(text); at++) {
                sign = substr(text, at, 1)
                if (sign == "\"") {
                    start = at++
                    while ((sign = substr(text, at, 1)) != "\"") at += (sign == "\\") ? 2 : 1
                    word = substr(text, start, at - start + 1)
                } else if (sign == ":" && depth == 3 && word == want && !from) from = at + 1
                else if (sign == "{" || sign == "[") depth++
                else if (sign == "}" || sign == "]" || sign == ",") {
                    if (from && depth == 3) { printf "%s", substr(text, from, at - from); exit }
                    if (sign != ",") depth--
                }
            }
        }'
}

# await PROCESS: its exit code, also where a signal comes in between.
await() {
    while :; do
        wait "$1"
        code=$?
        kill -0 "$1" 2>/dev/null || return $code
    done
}

# keep_lease PATH LEASE PROCESS: extends the lease; ends the process when the job is cancelled or lost.
keep_lease() {
    while sleep "$((lease_ms / 3000)).$((lease_ms / 3 % 1000 / 100))"; do
        answer=$(post "$1/extend" "{\"lease\": $2, \"lease_ms\": $lease_ms}")
        case $answer in
            *'"cancelled":true'* | *'"cancelled": true'* | */problems/lease-lost* | */problems/not-found*)
                kill "$3"
                return
                ;;
        esac
    done
}

stopping='' poll=''
trap 'stopping=1; [ -z "$poll" ] || kill "$poll"' TERM INT

while [ -z "$stopping" ]; do
    # In the background, since a shell takes signals only between commands, or while it waits.
    body="{\"worker\": \"shell-$$\", \"wait_ms\": 20000, \"lease_ms\": $lease_ms}"
    curl --config "$work/curl" --max-time 40 --data "$body" "$url/v1/queues/$queue/dequeue" >"$work/answer" &
    poll=$!
    # A signal may have come just before the process was known.
    [ -z "$stopping" ] || kill $poll
    if ! await $poll; then
        poll=''
        [ -n "$stopping" ] || sleep 1
        continue
    fi
    poll=''
    lease=$(field lease <"$work/answer")
    [ -n "$lease" ] || continue
    id=$(field id <"$work/answer")
    field payload <"$work/answer" >"$work/payload"

    # Every byte of the id as %XX, since an id may be any text; its quotes are left out before.
    path=jobs/$(printf %s "$id" | sed 's/^"//; s/"$//; s/\\\(["\\]\)/\1/g' | od -An -v -tx1 | tr -d '\n' | sed 's/ /%/g')
    "$@" <"$work/payload" &
    job=$!
    keep_lease "$path" "$lease" $job &
    keeper=$!
    await $job
    code=$?
    kill $keeper 2>/dev/null
    if [ $code = 0 ]; then
        # The same ack again does no harm, so one whose answer was lost is sent once more.
        post "$path/ack" "{\"lease\": $lease}" >/dev/null || post "$path/ack" "{\"lease\": $lease}" >/dev/null
    else
        post "$path/nack" "{\"lease\": $lease, \"error\": \"exit code $code\"}" >/dev/null
    fi
    echo "job $id ended with exit code $code" >&2
done

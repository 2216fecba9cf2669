#!/bin/sh
# A command for `ranq worker`: the payload comes on standard input, what is written to standard output is the result.
#
#   ranq worker --queue emails --exec examples/handler.sh
set -eu

payload=$(cat)
case $payload in
    *'"to"'*) ;;
    *)
        echo "there is no one to send it to" >&2
        exit 65 # dead at once; any other code but 0 is tried again
        ;;
esac

echo "job $RANQ_JOB_ID of $RANQ_QUEUE, attempt $RANQ_ATTEMPT of $RANQ_MAX_ATTEMPTS" >&2
printf '{"sent": %s, "attempt": %s}\n' "$payload" "$RANQ_ATTEMPT"

#!/usr/bin/env bash
# The micro-benchmarks, then a load on a service of its own. With --quick, only as long as it takes to see that both run.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

case ${1:-} in
    --quick)
        cargo bench --locked --bench pure -- --quick
        load=(--seconds 1 --entries 1000)
        ;;
    '')
        cargo bench --locked --bench pure
        load=(--seconds 5)
        ;;
    *) fail "what is '$1'?" ;;
esac
# The variable is the service's, so it is read inside.
# shellcheck disable=SC2016
scripts/with-service.sh bash -c '"$0" bench --url "$RANQ_URL" "$@"' "$TARGET/release/ranq" "${load[@]}"

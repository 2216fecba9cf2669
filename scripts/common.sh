# Read by the other scripts. Goes to the top of the repository, whatever the caller's directory.
# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used there

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

# Where the helpers that only checks need are kept; git ignores it.
TOOLS=$PWD/.tools

# Where cargo puts what it builds.
TARGET=${CARGO_TARGET_DIR:-target}

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "error: $*"
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# Whether version $1 (1.22.3) is at least $2 (1.20), part by part.
at_least() {
    local have=$1. want=$2.
    while [ -n "$want" ]; do
        [ "${have%%.*}" -le "${want%%.*}" ] || return 0
        [ "${have%%.*}" -ge "${want%%.*}" ] || return 1
        have=${have#*.} want=${want#*.}
        have=${have:-0.}
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        has sudo || fail "this needs root, and there is no sudo: $*"
        sudo "$@"
    fi
}

# For the few packages that are missing.
apt_install() {
    say "Installing with apt-get: $*"
    as_root apt-get update -q >&2 || say "apt-get update failed; going on with the lists that are here"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" >&2
}

# start_service LOG [NAME=VALUE...]: runs the release build as a service with these settings on a free port of this machine, until it has said
# where: $service is its process, $listen its address.
start_service() {
    local log=$1
    shift
    env "$@" RANQ_LISTEN=127.0.0.1:0 RANQ_LOG_FORMAT=json "$TARGET/release/ranq" serve >"$log" 2>&1 &
    service=$! listen=
    for _ in $(seq 100); do
        listen=$(sed -n 's/.*"listen":"\([^"]*\)".*/\1/p' "$log" | head -n 1)
        [ -z "$listen" ] || return 0
        kill -0 "$service" 2>/dev/null || fail "the service did not start: $(tail -n 3 "$log")"
        sleep 0.1
    done
    kill "$service"
    fail "the service did not say where it listens"
}

# rates NAME REPORT: a line for each workload of a report of `ranq bench`: NAME, workload, requests a second.
rates() { sed -n 's/^ *"\(workload\|requests_per_s\)": "\{0,1\}\([^",]*\).*/\2/p' "$2" | paste -d ' ' - - | sed "s/^/$1 /"; }

# compare_rates ONE OTHER FILE: the means of such lines for each workload, and the ratio of OTHER to ONE.
compare_rates() {
    printf '%-14s %14s %14s %7s\n' workload "$1 req/s" "$2 req/s" ratio
    awk -v one="$1" -v other="$2" '{
            if (!($2 in seen)) { order[++count] = $2; seen[$2] = 1 }
            sum[$1, $2] += $3; runs[$1, $2]++
        }
        END { for (place = 1; place <= count; place++) {
            name = order[place]; a = sum[one, name] / runs[one, name]; b = sum[other, name] / runs[other, name]
            printf "%-14s %14.0f %14.0f %7.2f\n", name, a, b, b / a
        } }' "$3"
}

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

#!/usr/bin/env bash
# Makes sure that what building, running and testing need is here, and installs what is missing where it can:
# a linker, redis-server and, for tests, PostgreSQL (the binaries alone, no system service). What is present is never touched.
#
#   scripts/setup.sh           everything
#   scripts/setup.sh run       only what building and running need
#   scripts/setup.sh build     only what building needs
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

REDIS_AT_LEAST=7

check_cargo() {
    has cargo || fail "cargo was not found. Install Rust with rustup (https://rustup.rs), open a new shell, and try again."
    cargo --version >/dev/null || fail "cargo does not run; rust-toolchain.toml names the toolchain that is needed"
}

check_linker() {
    has cc && return
    case "$(uname -s)" in
        Darwin) fail "no C compiler for linking: run 'xcode-select --install'" ;;
        *) has apt-get || fail "no C compiler for linking: install gcc" ;;
    esac
    apt_install gcc libc6-dev
}

# Whether a server that is new enough is on the PATH; tells about one that is too old.
has_redis() {
    local name version
    for name in redis-server valkey-server; do
        has "$name" || continue
        version=$("$name" --version | sed -n 's/.*[ =]v=\([0-9.]*\).*/\1/p')
        at_least "${version:-0}" $REDIS_AT_LEAST && return
        say "$name is version ${version:-unknown}; $REDIS_AT_LEAST or newer is needed"
    done
    return 1
}

# Debian's packages start a service, now and at every boot. A policy-rc.d that says no keeps it from starting now, and disabling
# it keeps it from starting later.
POLICY=/usr/sbin/policy-rc.d

# Installs a package whose service has this name.
apt_install_without_service() {
    local package=$1 service=$2 code=0
    if dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$'; then
        fail "the package $package is installed, but too old or not where it should be"
    fi
    say "$package is missing: it is installed for its binaries only, its system service stays off."
    if [ ! -e $POLICY ]; then
        # However this ends, the policy must not stay.
        trap 'as_root rm -f $POLICY' EXIT
        trap 'exit 130' INT TERM
        printf '#!/bin/sh\nexit 101\n' | as_root tee $POLICY >/dev/null
        as_root chmod 755 $POLICY
    fi
    apt_install "$package" || code=$?
    if has systemctl; then
        as_root systemctl disable --quiet "$service.service" 2>/dev/null || say "could not disable the service $service"
    elif has update-rc.d; then
        as_root update-rc.d "$service" disable || say "could not disable the service $service"
    fi
    [ $code = 0 ] || fail "apt-get could not install $package"
}

install_redis() {
    if has apt-get; then
        apt_install_without_service redis-server redis-server
    elif has brew; then
        say "redis-server is missing: 'brew install redis' (its service stays off)."
        brew install redis >&2
    else
        fail "redis-server $REDIS_AT_LEAST or newer (or valkey-server) is needed on the PATH: install it with your system's package manager"
    fi
    has_redis || fail "no redis-server $REDIS_AT_LEAST or newer could be installed: this system offers only an older one"
}

# Whether the programs of a PostgreSQL server are there: Debian keeps them off the PATH.
has_postgres() {
    local programs=(/usr/lib/postgresql/*/bin/initdb)
    has initdb || [ -x "${programs[0]}" ]
}

install_postgres() {
    if has apt-get; then
        apt_install_without_service postgresql postgresql
    elif has brew; then
        say "PostgreSQL is missing: 'brew install postgresql@17' (its service stays off)."
        brew install postgresql@17 >&2
        say "put $(brew --prefix)/opt/postgresql@17/bin on the PATH for the tests"
    else
        fail "the tests need initdb and postgres: install PostgreSQL with your system's package manager"
    fi
    has_postgres || fail "PostgreSQL could not be installed"
}

what=${1:-all}
check_cargo
check_linker
[ "$what" = build ] || has_redis || install_redis
[ "$what" != all ] || has_postgres || install_postgres

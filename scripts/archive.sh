#!/usr/bin/env bash
# How many rows a second the archive takes, one by one and in batches: SQLite, and a PostgreSQL server of its own, both of which have
# each row on the disk before they answer.
#
#   scripts/archive.sh [SECONDS]
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

seconds=${1:-6}
cargo build --quiet --release --locked --example archive_rows

work=$(mktemp -d)
pid=
stop() {
    if [ -n "$pid" ]; then
        kill -QUIT "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap stop EXIT

binaries=$(dirname "$(find /usr/lib/postgresql -path '*/bin/postgres' 2>/dev/null | sort | tail -n 1)")
[ -x "$binaries/postgres" ] || fail "this needs a PostgreSQL server (make setup)"
mkdir "$work/postgres"
# PostgreSQL refuses to run as root.
as=()
if [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    chown 65534:65534 "$work" "$work/postgres"
fi
(cd "$work" && "${as[@]}" "$binaries/initdb" --username ranq --auth trust --encoding UTF8 --pgdata "$work/postgres/data" >/dev/null)
"${as[@]}" "$binaries/postgres" -c listen_addresses= -c "unix_socket_directories=$work/postgres" -D "$work/postgres/data" 2>"$work/log" &
pid=$!
for _ in $(seq 100); do
    ! [ -S "$work/postgres/.s.PGSQL.5432" ] || break
    sleep 0.1
done

"$TARGET/release/examples/archive_rows" "$seconds" "$work/rows.db" "postgres://ranq@localhost/postgres?host=$work/postgres"

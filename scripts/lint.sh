#!/usr/bin/env bash
# What the compiler's tools say: scripts/lint.sh [format] [clippy] [docs] [deny]; all of them without arguments.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

CARGO_DENY=0.20

format() { cargo fmt --all --check; }

clippy() { cargo clippy --locked --all-targets -- -D warnings; }

docs() { RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items; }

deny() {
    if ! has cargo-deny; then
        say "cargo-deny is missing: it is built and installed, which takes some minutes."
        cargo install cargo-deny --locked --version "^$CARGO_DENY"
    fi
    # A warning is a stale line in deny.toml.
    cargo deny --locked check -D warnings licenses bans sources
    if cargo deny --locked fetch db; then
        cargo deny --locked check -D warnings advisories
    else
        say "#################################################################################"
        say "## ADVISORIES WERE NOT CHECKED: the advisory database could not be fetched.    ##"
        say "#################################################################################"
    fi
}

for part in "${@:-all}"; do
    case $part in
        all) format && clippy && docs && deny ;;
        format | clippy | docs | deny) $part ;;
        *) fail "what is '$part'?" ;;
    esac
done

#!/usr/bin/env bash
# Holds both OpenAPI documents against the specification and the rule sets of Redocly and Spectral.
# Rules that are off stand in redocly.yaml and .spectral.yaml, each with its reason.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

REDOCLY=2.77.0
SPECTRAL=6.16.3
NODE_AT_LEAST=20.19

has npx || fail "node $NODE_AT_LEAST or newer with npx is needed"
node=$(node --version)
at_least "${node#v}" $NODE_AT_LEAST || fail "node is ${node#v}; $NODE_AT_LEAST or newer is needed"

export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true npm_config_update_notifier=false

# Outside of any package, so that nothing is written here.
code=0
npx --yes "@redocly/cli@$REDOCLY" lint --format=stylish || code=1
npx --yes "@stoplight/spectral-cli@$SPECTRAL" lint --fail-severity=hint openapi/*.json || code=1
exit $code

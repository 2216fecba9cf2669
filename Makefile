# Everything one does with this repository. `make` alone lists it.
# Each target is a script under scripts/, so that a shell and CI can call the same.

.DEFAULT_GOAL := help
.PHONY: deployments help setup run test fuzz faults lint format openapi schema bench check

help: ## Lists the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## Installs redis-server and PostgreSQL (for tests) where there is none, and checks for cargo
	@scripts/setup.sh

run: ## Builds the service and runs it on 127.0.0.1:8080; RANQ_* settings are honoured
	@scripts/run.sh

test: setup ## Runs all tests
	@scripts/test.sh

fuzz: setup ## Tries inputs at random for MINUTES a property (1)
	@scripts/fuzz.sh $(or $(MINUTES),1)

faults: setup ## Kills, stops and cuts what runs, for ROUNDS (26), and checks what stands
	@scripts/faults.sh

deployments: setup ## Runs the tests of the API on Redis with Sentinels, and on a Cluster
	@scripts/deployments.sh

lint: ## Formatting, clippy, documentation, licences and sources of the dependencies
	@scripts/lint.sh

format: ## Formats the source
	@cargo fmt --all

openapi: ## Writes openapi/ anew from the routes
	@scripts/openapi.sh

schema: setup ## Lints the OpenAPI documents and tests a running service against them
	@scripts/openapi.sh --check
	@scripts/openapi-lint.sh
	@scripts/schemathesis.sh

bench: setup ## Micro-benchmarks, and a load on a running service
	@scripts/bench.sh

check: ## Everything that CI does
	@.ci/run

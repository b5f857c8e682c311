# Common tasks. `make` lists them.

SHELL = /bin/bash
CARGO ?= cargo
IMAGE ?= goat-server

.DEFAULT_GOAL := help

# The tools of the checks are outside the workspace: they have their own lock files, with the workspace's
# versions, and share its target folder.
TOOLS = .ci/dependencies .ci/foreign-types .ci/prose .ci/security-tests
each = for crate in $(1); do \
	  CARGO_TARGET_DIR=$${CARGO_TARGET_DIR:-$(CURDIR)/target} \
	    $(CARGO) $(firstword $(2)) --manifest-path $$crate/Cargo.toml $(wordlist 2,99,$(2)) || exit; \
	done

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## Start the server with its embedded stores, at http://127.0.0.1:8080
	$(CARGO) run --locked -p goat-server -- serve

# The benches have no tests; `make lint` compiles them.
define TEST_ALL
	env -u DATABASE_URL -u REDIS_URL \
	  $(CARGO) test --locked --workspace --exclude benches --all-features \
	  && $(MAKE) --no-print-directory test-checks
endef

# Databases and their temporary files are in memory if there is room: PostgreSQL creates a database in a
# tenth of the time.
IN_MEMORY = [ "$$(df -Pk /dev/shm 2>/dev/null | awk 'END { print $$4 }')" -ge 8000000 ] 2>/dev/null && export TMPDIR=/dev/shm

.PHONY: test
test: test-tools ## Run all tests; installs missing test tools
	@mkdir -p target; rm -f target/test-passed
	@$(IN_MEMORY); { { $(TEST_ALL); } && touch target/test-passed; } 2>&1 | tee target/test-output.txt; \
	  [ -e target/test-passed ]

.PHONY: test-checks
test-checks: ## Run only the tests of the tools of the checks
	$(call each,$(TOOLS),test --locked)

# The list is written from the output of the last `make test`, if there is one.
.PHONY: security-tests
security-tests: ## Write the list of security requirements and their tests
	git ls-files | $(CARGO) run --quiet --locked --manifest-path .ci/security-tests/Cargo.toml -- \
	  goat-server/guide/security-tests.md $(wildcard target/test-output.txt)

.PHONY: fuzz
fuzz: ## Fuzz every parser for a minute; needs a nightly toolchain and cargo-fuzz
	.ci/fuzz 60 --all

# Prints the missing Debian packages that the tests need. Debian installs PostgreSQL's programs
# outside PATH, and a program named postgres may be a stub.
define MISSING_PACKAGES
	for program in bash curl openssl; do command -v $$program >/dev/null || echo $$program; done; \
	PATH=$$PATH:/usr/sbin; command -v pgbouncer >/dev/null || echo pgbouncer; \
	command -v nginx >/dev/null || echo nginx-light; \
	command -v chromium >/dev/null || echo chromium; \
	for python in /usr/bin/python3 python3; do $$python -c 'import aiosmtpd' && break; false; \
	done 2>/dev/null || echo python3-aiosmtpd; \
	{ command -v redis-server || command -v valkey-server; } >/dev/null \
	  && { command -v redis-cli || command -v valkey-cli; } >/dev/null || echo redis-server; \
	for server in $$(command -v postgres) /usr/lib/postgresql/*/bin/postgres; do \
	  folder=$$(dirname "$$(readlink -f "$$server")"); \
	  for program in postgres initdb psql; do "$$folder/$$program" --version || break; done \
	    2>/dev/null | grep -q '^psql' && break; \
	  false; \
	done || echo postgresql
endef

# Installs the packages that a command prints.
install = missing=$$($(1)); [ -z "$$missing" ] || { \
	  [ "$$(id -u)" = 0 ] && apt-get update -qq \
	    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing; \
	}; \
	missing=$$($(1)); [ -z "$$missing" ] || { echo "please install:" $$missing >&2; exit 1; }

# The tests start private engines on free ports and never use services started by packages. The
# README's shell session is tested too and needs the programs that it names.
.PHONY: test-tools
test-tools:
	@$(call install,$(MISSING_PACKAGES))

.PHONY: build
build: ## Build the server for production: target/goat-server, its debug symbols beside it
	$(CARGO) build --locked --release -p goat-server
	cd $${CARGO_TARGET_DIR:-target} \
	  && objcopy --only-keep-debug release/goat-server goat-server.debug \
	  && objcopy --strip-all --add-gnu-debuglink=goat-server.debug release/goat-server goat-server

.PHONY: lint
lint: ## Check formatting, lints and documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --all-features -- -D warnings
	$(call each,$(TOOLS),fmt --check)
	$(call each,$(TOOLS),clippy --locked --all-targets -- -D warnings)
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --all-features --no-deps

.PHONY: semver
semver: ## Compare the public API with an earlier one: make semver BASELINE=v0.1.0
	@[ -n "$(BASELINE)" ] || { echo "usage: make semver BASELINE=<revision>" >&2; exit 1; }
	$(CARGO) semver-checks --version >/dev/null 2>&1 || $(CARGO) install cargo-semver-checks --locked
	$(CARGO) semver-checks --baseline-rev "$(BASELINE)" -p goat-core -p goat-tower -p goat-server

.PHONY: tool-locks
tool-locks: ## Update the lock files of the tools of the checks from Cargo.lock
	for crate in $(TOOLS); do \
	  cp Cargo.lock $$crate/Cargo.lock \
	    && $(CARGO) metadata --manifest-path $$crate/Cargo.toml --format-version 1 >/dev/null || exit; \
	done

.PHONY: bench
bench: ## Run the benchmarks in process; they end with one table
	$(CARGO) bench --locked

.PHONY: bench-tools
bench-tools:
	@$(call install,command -v wrk >/dev/null || echo wrk; { command -v setpriv && command -v taskset; } >/dev/null || echo util-linux)

# The server is built alone, without the features that the benches add to its crates.
.PHONY: bench-http
bench-http: bench-tools $(if $(ENGINES),test-tools) ## Measure over HTTP and write the results; ENGINES=1 adds PostgreSQL and Redis
	$(CARGO) build --locked --release -p goat-server
	$(CARGO) build --locked --release -p benches --bins
	"$${CARGO_TARGET_DIR:-target}/release/bench-http" $(if $(ENGINES),--engines) $(BENCH_OPTIONS)

.PHONY: migrate
migrate: ## Migrate the configured database
	$(CARGO) run --locked -p goat-server -- migrate

.PHONY: docker-build
docker-build: ## Build the container image
	docker build -f goat-server/deploy/Dockerfile -t $(IMAGE) .

.PHONY: clean
clean: ## Remove build output; data stays
	$(CARGO) clean

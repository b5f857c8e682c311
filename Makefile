# Everything that one does with goat. `make` alone lists it.

CARGO ?= cargo
IMAGE ?= goat-server

.DEFAULT_GOAL := help

.PHONY: help
help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## Start the server on its embedded default, at http://127.0.0.1:8080
	$(CARGO) run --locked -p goat-server -- serve

.PHONY: test
test: test-tools ## Run every test; gets what they need and the machine lacks
	$(CARGO) test --locked --workspace --all-features

# The session of README.md is run as it stands there, so it needs what it names.
.PHONY: test-tools
test-tools:
	@command -v bash >/dev/null && command -v curl >/dev/null \
	  || { apt-get update -qq && apt-get install -y -qq bash curl; } \
	  || { echo "please install bash and curl: a test runs the README's session with them" >&2; exit 1; }

.PHONY: build
build: ## Build the server for production: target/release/goat-server
	$(CARGO) build --locked --release -p goat-server

.PHONY: lint
lint: ## Check formatting, lints and documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --all-features --no-deps

.PHONY: bench
bench: ## Measure, each against a baseline in the same run
	$(CARGO) bench --locked -p benches

.PHONY: migrate
migrate: ## Bring the database of the present configuration up to date
	$(CARGO) run --locked -p goat-server -- migrate

.PHONY: docker-build
docker-build: ## Build the container image
	docker build -f goat-server/deploy/Dockerfile -t $(IMAGE) .

.PHONY: clean
clean: ## Remove what was built; data stays
	$(CARGO) clean

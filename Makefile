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
test: ## Run every test
	$(CARGO) test --locked --workspace --all-features

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

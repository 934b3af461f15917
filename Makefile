# What people and CI do with this checkout. `make` alone lists it. Needs root, see README.md.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The test node that is used; its folders and services are described in test/node/README.md.
NODE ?= default
export NODE
# Where rustup and Go's own archive install, for shells that do not know them yet.
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/local/go/bin

node := test/node/node
# A cluster is in a node of its own, unless one is named.
kubernetes_node := $(if $(filter default,$(NODE)),kubernetes,$(NODE))
logs := target/logs
# Prints how many tests passed and failed in a log of `cargo test`.
count := awk '/^test result:/ { passed += $$4; failed += $$6 } END { print passed + 0, failed + 0 }'

.PHONY: help docs docs-test build check lint unit e2e e2e-packed test compat fuzz fuzz-differential fuzz-smoke soak chaos chaos-smoke versions critest k8s k8s-smoke conformance conformance-smoke chart-test programs programs-smoke vm demo dist dist-twice dist-test dist-smoke upgrade-test vm-arm64 bench bench-floors images node-up node-shell node-logs node-down clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

build: ## Both binaries, to target/release
	@$(node) build

check: lint unit ## Formatting, lints and unit tests

lint: ## Formatting and lints only
	@$(node) sdk >/dev/null
	cargo fmt --all --check
	cargo clippy --quiet --locked --workspace --all-targets -- -D warnings

unit: ## Unit tests; TEST=NAME runs those whose name contains NAME
	@# The engine's run in the node, which has libwasmedge and a libc that is new enough for it.
	$(node) sdk >/dev/null
	NODE_SKIP_BUILD=1 $(node) up
	code=0
	cargo test --locked --no-fail-fast --workspace --exclude e2e --exclude programs --exclude kubernetes-tests --exclude wasmedge-engine $(TEST) || code=$$?
	CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$(CURDIR)/$(node) exec" \
	    cargo test --locked --no-fail-fast --package wasmedge-engine $(TEST) || code=$$?
	exit $$code

e2e: ## End-to-end tests; TEST=NAME runs those whose name contains NAME
	@test/e2e/run $(TEST)

# With the one file there is no engine beside the shim that could be missing, damaged or copied, and no library of the node's.
engines_own := a_missing_engine_is a_missing_libwasmedge_is an_engine_that_is_no_program_is a_host_whose_binary_was_copied_over

e2e-packed: dist ## The same with the one file that is released, in nodes of their own; E2E_SHARDS=1 for one
	@mkdir -p $(logs)
	code=0
	NODE=$(NODE)-packed NODE_PACKED=1 NODE_SKIP_BUILD=1 test/e2e/shards $(logs)/e2e-packed.log $(TEST) --skip ::runc $(engines_own:%=--skip %) || code=$$?
	NODE=$(NODE)-packed $(node) down || code=$$?
	read -r passed failed <<<"$$($(count) $(logs)/e2e-packed.log)"
	echo "make e2e-packed: with the one file $$passed end-to-end tests passed, $$failed failed; log: $(logs)/e2e-packed.log"
	[ $$code = 0 ] && [ $$passed -gt 0 ]

test: ## All tests, from nothing, half of them in a node of their own; the first node stays up
	@mkdir -p $(logs)
	code=0
	$(node) up
	$(MAKE) unit TEST= 2>&1 | tee $(logs)/unit.log || code=$$?
	test/e2e/shards $(logs)/e2e.log --skip ::runc || code=$$?
	read -r unit unit_failed <<<"$$($(count) $(logs)/unit.log)"
	read -r e2e e2e_failed <<<"$$($(count) $(logs)/e2e.log)"
	if [ $$code = 0 ] && [ $$unit -gt 0 ] && [ $$e2e -gt 0 ]; then
	    echo "make test: $$unit unit and $$e2e end-to-end tests passed"
	else
	    test/failures $(logs)/unit.log $(logs)/e2e.log
	    echo "make test: FAILED: unit tests: $$unit passed, $$unit_failed failed; end-to-end tests:" \
	        "$$e2e passed, $$e2e_failed failed; logs: $(logs)/unit.log $(logs)/e2e.log"
	    exit 1
	fi

dist: ## What is released, to target/dist; ARCH="amd64 arm64" for others than the machine's own
	@dist/dist $(ARCH)

dist-twice: ## The same from another checkout at another path, compared byte for byte
	@dist/twice $(ARCH)

dist-test: ## Install what is released in clean roots and run containers there; ROOT="empty trixie" for some
	@dist/test/run $(ROOT)

dist-smoke: dist ## What is released, in the smallest root and in one of Debian's; in CI
	@dist/test/run empty bookworm

upgrade-test: ## Upgrades and downgrades under 100 running containers, from an earlier commit's release
	@dist/test/upgrade

vm-arm64: ## The file for arm64 in a virtual machine; ARM64_PAGES=16k
	@test/vm-arm64/run

compat: ## Compare with runc, feature by feature; TEST=exec:: for a part
	@test/e2e/compat $(TEST)

fuzz: ## Fuzz what is parsed, 10 million executions a target; TARGET="spec …", FUZZ_RUNS, FUZZ_SECONDS (each)
	@$(node) sdk >/dev/null
	NODE_SKIP_BUILD=1 $(node) up
	fuzz/run $(TARGET)

fuzz-differential: ## Random modules, interpreted against native code at each level; MODULES=20000, FROM=0
	@$(node) sdk >/dev/null
	NODE_SKIP_BUILD=1 $(node) up
	fuzz/differential $(or $(MODULES),20000) $(or $(FROM),0)

fuzz-smoke: ## A little of both; in CI
	@$(node) sdk >/dev/null
	NODE_SKIP_BUILD=1 $(node) up
	code=0
	FUZZ_NAME="make fuzz-smoke" FUZZ_RUNS=1000000 FUZZ_SECONDS=2 fuzz/run || code=$$?
	fuzz/differential 100 | sed 's/^make fuzz-differential/make fuzz-smoke/' || code=$$?
	exit $$code

soak: ## A thousand kills at random moments, for each kind of container
	@FAULTS=1000 test/e2e/run parity::faults::kills_at_random

chaos: ## Lifecycles with faults at random moments; CHAOS_LIFECYCLES=10000, CHAOS_SEED, CHAOS_SECONDS, test/chaos/README.md
	@test/chaos/run

chaos-smoke: ## A minute of it; in CI
	@CHAOS_NAME="make chaos-smoke" CHAOS_LIFECYCLES=150 CHAOS_FAULTS=50 CHAOS_BATCH=25 CHAOS_SECONDS=60 test/chaos/run

programs: ## Real programs of many languages as containers, compared with runc; TEST=NAME, test/programs/README.md
	@test/programs/run $(TEST)

programs-smoke: ## Those in Go alone; in CI
	@test/programs/run go:: | sed 's/^make programs:/make programs-smoke:/'

vm: ## End-to-end tests with systemd and cgroup v2, in a virtual machine; VM_TESTS="…" chooses
	@test/vm/run

versions: ## End-to-end tests on containerd 1.7, 2.2, 2.3 and Docker 29; TEST=NAME, RUNS="docker-29 …"
	@test/e2e/versions $(RUNS)

chart-test: ## Chart, manifests and what else is in deploy/ for Kubernetes
	@test/chart/run

critest: ## Kubernetes' CRI conformance tests with runc and wasmedge; CRITEST_FOCUS=REGEX, RUNTIMES="…"
	@test/critest/run

k8s: ## The runtime in a Kubernetes cluster made from nothing; TEST=NAME, test/kubernetes/README.md
	@NODE=$(kubernetes_node) test/kubernetes/run $(TEST)

k8s-smoke: ## The same, pods alone: minutes
	@NODE=$(kubernetes_node) test/kubernetes/run pods:: -- --skip ::runc | sed 's/^make k8s:/make k8s-smoke:/'

conformance: ## Kubernetes' own conformance tests, with runc and this runtime as the default; FOCUS=REGEX, test/kubernetes/README.md
	@test/kubernetes/conformance/run

conformance_smoke := '\[sig-node\] (ConfigMap|Containers|Downward API|Ephemeral Containers|Kubelet when|PreStop|Secrets|Security Context|Sysctls).*Conformance\]|\[sig-storage\] (EmptyDir volumes should support \(non-root|HostPath).*Conformance\]|\[sig-network\] Networking Granular.*Conformance\]'
conformance-smoke: ## Some of them, of each kind: minutes
	@SUITE="make conformance-smoke" PROCESSES=6 FOCUS=$(conformance_smoke) test/kubernetes/conformance/run

demo: ## A Wasm and a Linux image side by side by `docker run`, from nothing
	@examples/demo

bench: ## Measure against runc; ARGS="…" are bench/run's options
	@bench/run $(ARGS)

bench-floors: ## Fail unless memory, latency and speed are as promised
	@bench/run floors

images: ## The test images, to target/images
	@$(node) sdk >/dev/null
	cargo run --quiet --locked --package test-images --bin build-images -- target/images --root "$$($(node) root)"

node-up: ## Make and start the test node, build and install the binaries
	@$(node) up

node-shell: ## A shell in the test node
	@$(node) shell

node-logs: ## The end of the node's logs; SERVICE=containerd|dockerd|node: one whole log
	@$(node) logs $(NODE) $(SERVICE)

node-down: ## Remove the test node; fails if anything of it is left
	@$(node) down

docs: ## The site of all pages, to target/site/book; fails if a link within it is broken
	@docs/build

docs-test: ## Run the console blocks of README.md and docs/; PAGE="docs/options.md …"
	@test/docs/run $(PAGE)

clean: ## Remove what was built; the node and ~/.cache/containerd-shim-wasmedge stay
	cargo clean

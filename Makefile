# Thin: installs the few system packages that are missing, then calls cargo.
# One profile, so that heavy dependencies compile once; another for `bench` and `capture`,
# which measure what boards get.

PROFILE := ci
BIN = target/$(PROFILE)
DEMO ?=

.PHONY: demo test build lint bench capture results conformance package board-test audit system

demo: build
	$(BIN)/afferent demo $(DEMO)

test: build lint
	cargo test --locked --profile $(PROFILE) --workspace

build: system
	cargo build --locked --profile $(PROFILE) --workspace --bins

# FEATURES: of the agent, whose cameras and microphones need `tools/system-packages capture`.
FEATURES ?=
lint: system
	cargo fmt --all --check
	cargo clippy --locked --profile $(PROFILE) --workspace --all-targets $(FEATURES:%=--features %) -- -D warnings

# The figures of docs/results/, measured on this machine. Boards get the release build
# (tools/package), so its cost is what is measured.
bench:
	$(MAKE) build PROFILE=release
	target/release/afferent bench agent --out docs/results
	target/release/afferent demo --out target/bench-demo
	mkdir -p docs/results/demo
	cd target/bench-demo && cp table.txt summary.json connections.json rows.parquet rate-agreement.svg ../../docs/results/demo/

# The figures of an hour of capture, by the release build too; takes that hour.
capture:
	$(MAKE) build PROFILE=release
	target/release/afferent bench capture --out docs/results

# The sweeps of docs/results/ and their report; needs AFFERENT_DATA, and the segmenter
# in AFFERENT_MODELS. Goes on where it was stopped.
RESULTS := docs/results
results: build
	for plan in images optic task-hulls optic-tasks; do \
	    $(BIN)/afferent bench sweep bench/plans/$$plan.toml --out target/results/$$plan || exit 1; done
	$(BIN)/afferent bench sweep bench/plans/presets.toml --out target/results/presets --workers 1
	tools/publish-results $(BIN)/afferent target/results $(RESULTS)

# Whether bitstreams mean the same on x86-64 and arm64, whatever the build. Kept with
# CONFORMANCE="--out docs/results --instructions".
CONFORMANCE ?=
conformance: system
	tools/conformance $(CONFORMANCE)

# The agent's Debian package for arm64 boards (tools/package amd64 for this machine).
package:
	tools/package

# A virtual arm64 board with that package, from camera to rows, and what can happen to it.
board-test: system
	tools/board-test

audit:
	@cargo deny --version >/dev/null 2>&1 || { \
	    echo "Installing cargo-deny (some minutes, once)"; cargo install --locked cargo-deny; }
	cargo deny --workspace check bans licenses sources

system:
	@tools/system-packages

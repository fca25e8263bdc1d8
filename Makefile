# liao: `make help` shows what there is.
.DEFAULT_GOAL := help
.PHONY: help run test crash hostile fuzz demo bench fmt lint setup setup-test

help:            ## this list
	@grep -hE '^[a-z-]+: *##|^[a-z-]+:.*## ' Makefile | sed 's/:.*##/ —/'

setup:
	@sh scripts/setup.sh build

setup-test:
	@sh scripts/setup.sh test

run: setup       ## build liao and run the server (data in ./liao-data)
	cargo build --release --locked
	@echo "the program: $(CURDIR)/target/release/liao"
	target/release/liao serve

# The tests' files are small, and so may be what is free of the disk.
test: export LIAO_UPLOAD_LEAVE_FREE_MB = 0
test: setup-test ## all tests: unit, house rules, foreign clients against the real server
	cargo test --workspace --locked
	cargo build --locked
	sh tests/tmux/first_message.sh target/debug/liao
	sh tests/tmux/away.sh target/debug/liao
	.venv/bin/python tests/interop/day.py target/debug/liao
	.venv/bin/python tests/interop/history.py target/debug/liao
	.venv/bin/python tests/interop/admin.py target/debug/liao
	.venv/bin/python tests/interop/login.py target/debug/liao
	node tests/interop/web.mjs target/debug/liao
	node tests/interop/bosh.mjs target/debug/liao
	@if unshare -rn true; then unshare -rn .venv/bin/python tests/interop/lan.py target/debug/liao; \
	else echo "SKIPPED: tests/interop/lan.py: no network namespaces here"; fi

crash: setup     ## the server is killed and loses its power, 50 times each, under load (minutes; LIAO_KILLS, LIAO_SEED)
	LIAO_KILLS=$${LIAO_KILLS:-50} cargo test -p liao --test crash --locked -- --nocapture --test-threads 1
	LIAO_STEPS=10000 cargo test -p liao-server --test store --locked -- --nocapture
	LIAO_AWAY_S=$${LIAO_AWAY_S:-60} cargo test -p liao --test memory --locked

hostile: setup   ## each attack for 20 seconds, and what it costs (LIAO_ATTACK_S, LIAO_ATTACK=a part of a name); wants a quiet machine
	LIAO_ATTACK_S=$${LIAO_ATTACK_S:-20} cargo test -p liao --test hostile --locked -- --nocapture --test-threads 1

fuzz:            ## made-up bytes against everything a stranger can reach (LIAO_FUZZ_SECONDS each, LIAO_FUZZ_TARGETS)
	@sh scripts/fuzz.sh $(LIAO_FUZZ_TARGETS)

demo: setup      ## a conversation over TCP, UDP and XMPP, played by the real program
	cargo build --locked
	sh scripts/demo.sh target/debug/liao

bench: setup     ## messages and idle connections, with the bare TCP relay beside them
	cargo build --release --locked
	target/release/liao bench chat
	target/release/liao bench idle

fmt: setup       ## format the code
	cargo fmt --all

lint: setup      ## clippy, warnings are errors
	cargo clippy --workspace --all-targets --locked -- -D warnings

#!/bin/sh
# Runs the fuzz targets one after another; stops at the first finding. usage: fuzz.sh [TARGET…]
# LIAO_FUZZ_SECONDS: how long each; half an hour if unset. The kept inputs are read, new ones go to fuzz/target/new.
set -eu
cd "$(dirname "$0")/.."
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo "missing: cargo-fuzz with a nightly compiler — type: rustup toolchain install nightly && cargo install cargo-fuzz"
    exit 1
fi
[ $# -gt 0 ] || set -- stream address sasl websocket stanza differential
for target in "$@"; do
    mkdir -p "fuzz/target/new/$target"
    echo "fuzzing $target for ${LIAO_FUZZ_SECONDS:-1800} seconds"
    cargo +nightly fuzz run "$target" "fuzz/target/new/$target" "fuzz/corpus/$target" -- \
        -max_total_time="${LIAO_FUZZ_SECONDS:-1800}" -rss_limit_mb=2048 -timeout=10 -max_len=4096 -print_final_stats=1
done

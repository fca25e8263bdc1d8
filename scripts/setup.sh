#!/bin/sh
# Says in a line each what is needed, and what to type if it is missing; as root it installs system packages itself.
# usage: setup.sh build|test
set -u
bad=0
missing() { echo "missing: $1 — type: $2"; bad=1; }
found() { echo "found: $1"; }
install() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing $*"
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@"; } >/dev/null 2>&1
    fi
}
command -v cc >/dev/null || install gcc libc6-dev
if command -v cc >/dev/null; then found "a C compiler ($(command -v cc))"; else missing "a C compiler" "apt-get install gcc libc6-dev"; fi
if command -v rustc >/dev/null; then
    minor=$(rustc --version | sed 's/^rustc 1\.\([0-9]*\)\..*/\1/')
    if [ "$minor" -ge 91 ] 2>/dev/null; then found "rustc 1.91 or newer ($(rustc --version))"; else missing "rustc 1.91 or newer ($(rustc --version))" "rustup update stable"; fi
else
    missing "rustc 1.91 or newer" "curl --proto '=https' -sSf https://sh.rustup.rs | sh"
fi
if [ "$1" = test ]; then
    command -v python3 >/dev/null || install python3 python3-venv
    if command -v python3 >/dev/null; then
        if ! .venv/bin/python -c 'import slixmpp, aiohttp' 2>/dev/null; then
            python3 -m venv .venv 2>/dev/null || { install python3-venv; python3 -m venv .venv; }
            .venv/bin/pip install -q -r tests/interop/requirements.txt
        fi
        .venv/bin/python -c 'import slixmpp, aiohttp' 2>/dev/null ||
            missing "slixmpp in .venv" "python3 -m venv .venv && .venv/bin/pip install -r tests/interop/requirements.txt"
    else
        missing "Python 3" "apt-get install python3 python3-venv"
    fi
fi
if [ "$1" = test ]; then
    command -v node >/dev/null && command -v npm >/dev/null || install nodejs npm
    if command -v node >/dev/null && [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 18 ] && command -v npm >/dev/null; then
        # The lock file is newer than what is installed: bring it up to date.
        [ tests/interop/node_modules/.package-lock.json -nt tests/interop/package-lock.json ] ||
            (cd tests/interop && npm ci --silent --no-audit --no-fund) ||
            missing "@xmpp/client and strophe.js" "cd tests/interop && npm ci"
    else
        missing "node 18 or newer with npm" "apt-get install nodejs npm"
    fi
    # Debian's, not the virtual environment's: it needs GLib. Without it its test is skipped, and says so.
    /usr/bin/python3 -c 'import nbxmpp' 2>/dev/null || install python3-nbxmpp
    command -v ip >/dev/null || install iproute2
    command -v ip >/dev/null || missing "ip" "apt-get install iproute2"
    command -v tmux >/dev/null || install tmux
    command -v tmux >/dev/null || missing "tmux" "apt-get install tmux"
    command -v openssl >/dev/null || install openssl
    command -v openssl >/dev/null || missing "openssl" "apt-get install openssl"
fi
exit $bad

#!/bin/sh
# Plays a conversation over TCP, UDP and XMPP with the real program, in a folder of its own, and ends with 0.
# usage: demo.sh LIAO_BINARY
set -eu
liao=$1
folder=$(mktemp -d)
pids=
trap 'kill $pids 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
export XDG_DATA_HOME="$folder/client"

title() { printf '\n== %s\n' "$*"; }
# Waits until a file has a line like this, and shows that line.
until_line() {
    tries=0
    until grep -m1 -e "$2" "$1" >"$folder/found" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { echo "demo: nothing like \"$2\" in:"; cat "$1"; exit 1; }
        sleep 0.05
    done
    [ "${3:-}" = quiet ] || sed "s/^/   ${1##*/}: /" "$folder/found"
}
# Starts a program that reads what we say through a pipe: NAME.in, NAME.
start() {
    name=$1
    shift
    mkfifo "$folder/$name.in"
    "$@" <"$folder/$name.in" >"$folder/$name" 2>&1 &
    pids="$pids $!"
}

title "TCP: a server and two callers at once"
start tcp-server "$liao" tcp-server 127.0.0.1:0
exec 3>"$folder/tcp-server.in"
until_line "$folder/tcp-server" "online: "
address=$(sed -n 's/.*online: //p' "$folder/tcp-server")
start anna "$liao" tcp-client "$address" --name Anna
exec 4>"$folder/anna.in"
start bo "$liao" tcp-client "$address" --name 小波
exec 5>"$folder/bo.in"
echo "good morning" >&4
until_line "$folder/tcp-server" "Anna: good morning"
echo "早上好 😀" >&5
until_line "$folder/tcp-server" "小波: 早上好 😀"
echo "@caller-1 hello, first caller" >&3
echo "@caller-2 hello, second caller" >&3
until_line "$folder/anna" "hello, .* caller"
until_line "$folder/bo" "hello, .* caller"
exec 3>&- 4>&- 5>&-

title "UDP: a server that also speaks first"
start udp-server "$liao" udp-server 127.0.0.1:0
exec 3>"$folder/udp-server.in"
until_line "$folder/udp-server" "online: "
address=$(sed -n 's/.*online: //p' "$folder/udp-server")
start friend "$liao" udp-server 127.0.0.1:0
exec 4>"$folder/friend.in"
until_line "$folder/friend" "online: " quiet
echo "/book add friend $(sed -n 's/.*online: //p' "$folder/friend")" >&3
until_line "$folder/udp-server" "friend is"
echo "@friend I speak first" >&3
until_line "$folder/friend" "I speak first"
echo "and I answer" >&4
until_line "$folder/udp-server" "friend: and I answer"
exec 3>&- 4>&-

title "XMPP: a server, an account by its invite, a friend, and a bare socket"
for name in C2S C2S_TLS HTTP HTTPS SOCKETS; do export "LIAO_LISTEN_$name=127.0.0.1:0"; done
start serve "$liao" serve --data "$folder/server"
exec 3>"$folder/serve.in"
until_line "$folder/serve" "https://.*/invite/"
link=$(grep -o 'https://[^ ]*/invite/[^ ]*' "$folder/serve" | head -1)
start alice "$liao" chat "$link" --plain --client-data "$folder/alice-data"
exec 4>"$folder/alice.in"
printf 'alice\na password\n' >&4
until_line "$folder/alice" "online: "
link=$("$liao" admin --data "$folder/server" invite --from alice@localhost | grep -o 'https://[^ ]*' | head -1)
start bob "$liao" chat "$link" --plain --client-data "$folder/bob-data"
exec 5>"$folder/bob.in"
printf 'bob\na password\n' >&5
until_line "$folder/alice" "bob is here"
echo "@bob 你好, Bob" >&4
until_line "$folder/bob" "alice: 你好, Bob"
echo "@alice hello Alice" >&5
until_line "$folder/alice" "bob: hello Alice"
sockets=$(grep -o '"sockets": *"[^"]*"' "$folder/server/addresses.json" | grep -o '127[^"]*')
start socket "$liao" tcp-client "$sockets"
exec 6>"$folder/socket.in"
echo "a bare socket, no account" >&6
until_line "$folder/alice" "a bare socket, no account"
echo "@tcp-1 the phone could say this, too" >&4
until_line "$folder/socket" "the phone could say this, too"
exec 3>&- 4>&- 5>&- 6>&-
printf '\nThat was liao: TCP, UDP, XMPP.\n'

#!/bin/sh
# Two people at two screens, and no network while both write; one of the clients is killed with what it has not sent.
# All arrives once, in order, and the screens never claim more than is so.
# usage: away.sh LIAO_BINARY   (LIAO_AWAY: seconds without network, 4 unless told)
set -eu
here=$(dirname "$0")
liao=$1
case $liao in /*) ;; *) liao=$PWD/$liao ;; esac
away=${LIAO_AWAY:-4}
folder=$(mktemp -d)
socket=liao-away-$$
export LC_ALL=C.UTF-8 TERM=xterm-256color
unset TMUX NO_COLOR COLORTERM 2>/dev/null || true
pids=
over() {
    tmux -L "$socket" kill-server 2>/dev/null || true
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap over EXIT

t() { tmux -u -L "$socket" -f /dev/null "$@"; }
wrong() { echo "away: $1"; for who in alice bob; do t capture-pane -p -t $who; done; exit 1; }
until_line() {
    tries=0
    until grep -q -e "$2" "$1" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 400 ] || { echo "away: nothing like \"$2\" in:"; cat "$1"; exit 1; }
        sleep 0.05
    done
}
# Waits until the screen of somebody shows this.
until_shown() {
    tries=0
    until t capture-pane -p -t "$1" | grep -q -e "$2"; do
        tries=$((tries + 1))
        [ $tries -lt 1600 ] || wrong "no \"$2\" on the screen of $1"
        sleep 0.05
    done
}
says() {
    t send-keys -t "$1" -l "$2"
    t send-keys -t "$1" Enter
}
# The screen of somebody: alone in a wide window, so that a message is a row.
opens() {
    t new-session -d -s "$1" -x 100 -y 40 \
        "echo \$\$ >$folder/$1.pid; LIAO_PASSWORD=pw-$1 exec '$liao' chat $1@localhost --server 127.0.0.1:$network --client-data $folder/$1-data"
}

for name in C2S C2S_TLS HTTP HTTPS SOCKETS; do export "LIAO_LISTEN_$name=127.0.0.1:0"; done
"$liao" serve --data "$folder/server" >"$folder/serve" 2>&1 &
pids="$pids $!"
until_line "$folder/serve" "certificate"
for name in alice bob; do
    echo "pw-$name" | "$liao" admin --data "$folder/server" user add $name --password-stdin >/dev/null
done
server=$(sed -n 's/.*"c2s": *"\([^"]*\)".*/\1/p' "$folder/server/addresses.json")
python3 "$here/relay.py" "$server" >"$folder/relay" &
relay=$!
pids="$pids $relay"
until_line "$folder/relay" "[0-9]"
network=$(cat "$folder/relay")

opens alice
opens bob
until_shown alice "online: alice"
until_shown bob "online: bob"
# Friends, so that each is told what has arrived at the other.
says alice "/add bob@localhost"
until_shown bob "alice"
says bob "/accept alice@localhost"
says alice "/to bob@localhost"
says bob "/to alice@localhost"
until_shown alice "bob — ● online"
until_shown bob "alice — ● online"
says alice "from alice 0."
until_shown bob "from alice 0\."
says bob "from bob 0."
until_shown alice "from bob 0\."

kill -USR1 $relay
until_shown alice "trying again in"
until_shown bob "trying again in"
for n in 1 2 3 4 5; do
    says alice "from alice $n."
    says bob "from bob $n."
    sleep $((away / 4)).2
done
# What has not gone out says so, in words.
for who in alice bob; do
    until_shown $who "from $who 5\."
    rows=$(t capture-pane -p -t $who | grep -c "waiting for the connection" || true)
    [ "$rows" -eq 5 ] || wrong "5 messages of $who wait, the screen says it of $rows"
done
kill -9 "$(cat "$folder/alice.pid")"
until ! t has-session -t alice 2>/dev/null; do sleep 0.05; done
opens alice
# The new program knows the conversation and what it still has to send.
sleep 1
says alice "/to bob@localhost"
until_shown alice "from alice 5\."
[ "$(t capture-pane -p -t alice | grep -c "waiting for the connection")" -eq 5 ] || wrong "they do not wait any more"
says alice "from alice 6."
kill -USR2 $relay
until_shown bob "from alice 6\."
until_shown alice "from bob 5\."

# Each once, in the order in which its sender said them, on both screens; and all has arrived.
until_shown alice "from alice 6\. *✓✓"
until_shown bob "from bob 5\. *✓✓"
for who in alice bob; do
    t capture-pane -p -t $who >"$folder/seen"
    for pair in "alice 6" "bob 5"; do
        sender=${pair% *}
        expected=$(seq 0 "${pair#* }" | tr '\n' ' ')
        got=$(cut -c25- "$folder/seen" | sed -n "s/.*from $sender \([0-9]*\)\..*/\1/p" | tr '\n' ' ')
        [ "$got" = "$expected" ] || wrong "$who sees of $sender: $got"
    done
    ! grep -q "waiting for the connection" "$folder/seen" || wrong "something waits for $who"
done
echo "  ok: $away s without network and a killed client: all arrived once, in order"

#!/bin/sh
# Two people at two screens, and no network while both write; one of the clients is killed with what it has not sent.
# All arrives once, in order, and the screens never claim more than is so.
# usage: away.sh LIAO_BINARY   (LIAO_AWAY: seconds without network, 4 unless told)
set -eu
here=$(dirname "$0")
away=${LIAO_AWAY:-4}
me=away
patience=1600
. "$here/stage.sh"

# The screen of somebody: alone in a wide window, so that a message is a row.
opens() {
    t new-session -d -s "$1" -x 100 -y 40 \
        "echo \$\$ >$folder/$1.pid; LIAO_PASSWORD=pw-$1 exec '$liao' chat $1@localhost --server 127.0.0.1:$network --client-data $folder/$1-data"
}

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
types alice "/add bob@localhost"
until_shown bob "alice"
types bob "/accept alice@localhost"
types alice "/to bob@localhost"
types bob "/to alice@localhost"
until_shown alice "bob — ● online"
until_shown bob "alice — ● online"
types alice "from alice 0."
until_shown bob "from alice 0\."
types bob "from bob 0."
until_shown alice "from bob 0\."

kill -USR1 $relay
until_shown alice "trying again in"
until_shown bob "trying again in"
for n in 1 2 3 4 5; do
    types alice "from alice $n."
    types bob "from bob $n."
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
types alice "/to bob@localhost"
until_shown alice "from alice 5\."
[ "$(t capture-pane -p -t alice | grep -c "waiting for the connection")" -eq 5 ] || wrong "they do not wait any more"
types alice "from alice 6."
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

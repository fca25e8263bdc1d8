#!/bin/sh
# From nothing to a first message by an invite link, typed into a real terminal (tmux), timed; in both languages.
# usage: first_message.sh LIAO_BINARY
set -eu
me=first_message
patience=400
# The limit for all that a person waits for, in milliseconds, on a machine that does other things, too.
limit=20000
. "$(dirname "$0")/stage.sh"

now() { date +%s%3N; }
# One group of keys: words and Enter.
group() {
    groups=$((groups + 1))
    types "$1" "$2"
}

link=$(grep -o 'https://[^ ]*/invite/[^ ]*' "$folder/serve" | head -1)
mkfifo "$folder/alice.in"
"$liao" chat "$link" --plain --client-data "$folder/alice-data" <"$folder/alice.in" >"$folder/alice" 2>&1 &
pids="$pids $!"
exec 4>"$folder/alice.in"
printf 'alice\na password\n' >&4
until_line "$folder/alice" "online: "

# usage: person NAME LANGUAGE COLUMNS ROWS ASKED NAMED SECRET OPEN
person() {
    link=$("$liao" admin --data "$folder/server" invite --from alice@localhost | grep -o 'https://[^ ]*' | head -1)
    groups=0
    t new-session -d -s "$1" -x "$3" -y "$4" \
        "env LC_ALL=$2.UTF-8 PS1='ready> ' sh"
    until_shown "$1" "ready>"
    begin=$(now)
    group "$1" "'$liao' chat --client-data '$folder/$1-data'"
    until_shown "$1" "$5"
    # Pasted as a terminal pastes it.
    t set-buffer "$link"
    t paste-buffer -p -t "$1"
    until_shown "$1" "invite/"
    group "$1" ""
    until_shown "$1" "$6"
    group "$1" "$1"
    until_shown "$1" "▌ *\$"
    group "$1" "a password"
    until_shown "$1" "$8"
    group "$1" "hello from $1 你好"
    until_line "$folder/alice" "$1: hello from $1 你好"
    until_shown "$1" "✓✓"
    took=$(($(now) - begin))
    echo "$1 ($2, $3 columns): $groups groups of keys, $took ms from the shell to the first message delivered"
    [ $groups -le 8 ] || wrong "too many groups of keys"
    [ $took -le $limit ] || wrong "it took longer than $limit ms"
    echo "@$1 and back to $1" >&4
    until_shown "$1" "and back to $1"
    # The terminal's own cursor moves with the words: an input method draws there. Two characters are four columns.
    before=$(t display -p -t "$1" '#{cursor_x}')
    t send-keys -t "$1" -l "拼音"
    until_shown "$1" "拼音"
    column=$(t display -p -t "$1" '#{cursor_x}')
    [ "$column" = $((before + 4)) ] || wrong "the cursor is in column $column"
    t send-keys -t "$1" C-u
    t send-keys -t "$1" C-q
    until_shown "$1" "ready>"
}
person bob en_US 80 24 "Invite link" "Choose a name" "Choose a password" "alice — "
person xiaoming zh_CN 40 20 "邀请链接" "取一个名字" "设一个密码" "alice — "
exec 4>&-

# What both scripts stand on: a server on free ports of loopback, and terminals (tmux) that are typed into and read.
# Sourced with $1, the program, after these are set: `me`, how this script is called in what it says; `patience`, for
# how many twentieths of a second a screen is waited for.
liao=$1
case $liao in /*) ;; *) liao=$PWD/$liao ;; esac
folder=$(mktemp -d)
socket=liao-$me-$$
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
# Ends the script with a sentence and every screen there is.
wrong() {
    echo "$me: $1"
    for who in $(t list-sessions -F '#S' 2>/dev/null); do t capture-pane -p -t "$who"; done
    exit 1
}
# Waits until a file has a line like this.
until_line() {
    tries=0
    until grep -q -e "$2" "$1" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 400 ] || { cat "$1"; wrong "nothing like \"$2\" in the lines above"; }
        sleep 0.05
    done
}
# Waits until the screen of a window shows this.
until_shown() {
    tries=0
    until t capture-pane -p -t "$1" | grep -q -e "$2"; do
        tries=$((tries + 1))
        [ $tries -lt "$patience" ] || wrong "no \"$2\" on the screen of $1"
        sleep 0.05
    done
}
# Words and Enter.
types() {
    t send-keys -t "$1" -l "$2"
    t send-keys -t "$1" Enter
}

for name in C2S C2S_TLS HTTP HTTPS SOCKETS; do export "LIAO_LISTEN_$name=127.0.0.1:0"; done
"$liao" serve --data "$folder/server" >"$folder/serve" 2>&1 &
pids="$pids $!"
# The invite is the last of what the server says when it starts.
until_line "$folder/serve" "https://.*/invite/"

# shellcheck shell=bash
# Which nodes there are. A node is up while its pid 1, known by pid and start time, lives.

# Prints the host's pid of the node's pid 1.
node_pid() {
    local pid start
    read -r pid start 2>/dev/null <"$(state_dir "$1")/pid" || return 1
    [ "$(start_time "$pid")" = "$start" ] && printf '%s' "$pid"
}

# Field 22 of /proc/PID/stat, after a name that may hold anything. A zombie is dead, however long its parent lets it lie.
start_time() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    awk '$1 != "Z" { print $20 }' <<<"${stat##*) }"
}

node_names() {
    find "$state_base" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' 2>/dev/null | sort
}

list_nodes() {
    local name pid
    for name in $(node_names); do
        pid=$(node_pid "$name") || pid=dead
        printf '%-16s %-8s %s\n' "$name" "$pid" "$(cat "$(state_dir "$name")/checkout" 2>/dev/null)"
    done
}

# shellcheck shell=bash
# Taking a node down, and proving that nothing of it is left.

node_down() {
    with_lock "$cache_dir/nodes/$1.lock" remove_node "$1"
    say "node '$1' is down"
}

# The kernel kills all of a pid namespace with its pid 1; mounts, network and what hangs on them go with the last
# process. What sits outside the namespace (the parents that wait) is in the node's cgroups.
remove_node() {
    local name=$1 pid pids tries held=() kind fd
    if pid=$(node_pid "$name"); then
        # The kernel gives the number of a namespace that is gone to the next one, which may be another node's.
        for kind in cgroup ipc net pid user uts; do
            exec {fd}<"/proc/$pid/ns/$kind"
            held+=("$fd")
        done
        kill -KILL "$pid"
        for tries in {1..300}; do
            node_pid "$name" >/dev/null || break
            [ "$tries" = 300 ] && die "step failed: pid 1 of node '$name' ($pid) does not die"
            sleep 0.1
        done
    fi
    for tries in {1..50}; do
        mapfile -t pids < <(cgroup_pids "$name")
        [ ${#pids[@]} = 0 ] && break
        [ "$tries" -gt 10 ] && kill -KILL "${pids[@]}" 2>/dev/null
        sleep 0.1
    done
    cgroup_remove "$name"
    rm -rf --one-file-system "$(node_dir "$name")" || true
    check_left "$name" || die "step failed: taking down node '$name', see above for what is left"
    for fd in "${held[@]}"; do
        exec {fd}<&-
    done
    rm -rf "$(state_dir "$name")"
    rmdir "$state_base" 2>/dev/null || true
}

# Prints what is left of a node that is down; fails if there is anything.
check_left() {
    local name=$1 left
    left=$(
        cgroup_dirs "$name" | grep "/wasmedge-node-$name\$" | sed 's/^/cgroup: /'
        cgroup_pids "$name" | sed 's/^/process in its cgroups: /'
        find "$(node_dir "$name")" -maxdepth 1 2>/dev/null | sed 's/^/folder: /'
        grep -F "$(node_dir "$name")/" /proc/self/mountinfo | sed 's/^/mount: /'
        losetup --noheadings --list --output NAME,BACK-FILE 2>/dev/null | grep -F "$(node_dir "$name")/" | sed 's/^/loop device: /'
        left_namespaces "$(state_dir "$name")/namespaces"
    )
    [ -z "$left" ] && return
    printf 'left of node %s:\n%s\n' "'$name'" "$left" >&2
    return 1
}

# Processes and bind mounts that hold one of the namespaces recorded at the start. Not by that of mounts, which is not held
# until then, as it holds loop devices: whoever is in it is in others of the node, too.
left_namespaces() {
    [ -s "$1" ] || return 0
    # shellcheck disable=SC2012 # names of /proc only
    ls -l /proc/[0-9]*/ns/ 2>/dev/null | awk -v file="$1" '
        BEGIN { while ((getline line <file) > 0) ours[line] = 1 }
        /^\/proc\// { process = $1 }
        $NF in ours && $NF !~ /^mnt:/ { print "namespace: " process " " $NF }'
    grep -F -f "$1" /proc/self/mountinfo | sed 's/^/namespace mount: /' || true
}

# node check [NAME]: without a name, for every node that has left a trace and is not up.
node_check() {
    local name failed=0
    for name in ${1:-$(trace_names)}; do
        if node_pid "$name" >/dev/null; then
            say "node '$name' is up"
        else
            check_left "$name" || failed=1
        fi
    done
    [ $failed = 0 ] && say "nothing is left of nodes that are down"
    return $failed
}

trace_names() {
    {
        node_names
        find "$cache_dir/nodes" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' 2>/dev/null
        find /sys/fs/cgroup -mindepth 1 -maxdepth 2 -name 'wasmedge-node-*' -printf '%f\n' | sed 's/^wasmedge-node-//'
    } | sort -u
}

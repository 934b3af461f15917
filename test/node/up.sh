# shellcheck shell=bash
# From nothing to a node whose containerd and dockerd answer; on a running node only the build and installation.

node_up() {
    local name=$1
    check_versions
    ensure_host_packages
    ensure_root
    ensure_crictl
    ensure_versions
    build_product
    with_lock "$cache_dir/nodes/$name.lock" up_locked "$name"
}

up_locked() {
    local name=$1 pid other service
    if pid=$(node_pid "$name"); then
        other=$(cat "$(state_dir "$name")/checkout")
        [ "$other" = "$repo" ] || die "node '$name' is up for $other: choose another name, or take it down"
        refuse_other_versions "$name"
    else
        if [ -d "$(state_dir "$name")" ] || [ -d "$(node_dir "$name")" ]; then
            say "node '$name': removing what is left of an earlier one"
            remove_node "$name"
        fi
        prepare_node "$name"
        start_node "$name"
        pid=$(node_pid "$name")
    fi
    install_product "$pid"
    for service in containerd dockerd; do
        step "$(node_dir "$name")/data/var/log/node.log" "node '$name': $service" start_service "$name" "$service"
    done
    say "node '$name' is up: $0 exec -n $name CMD…"
}

start_service() (
    close_locks
    enter "$1" node-service start "$2"
)

prepare_node() {
    local name=$1 dir
    dir=$(node_dir "$name")
    [[ $dir != *[:,\\]* ]] || die "overlayfs takes no ':' ',' or '\\' in $dir: set XDG_CACHE_HOME"
    mkdir -p "$dir"/{upper/usr/local/bin,work,root,data/var/log} "$(state_dir "$name")"
    printf '%s\n' "$repo" >"$(state_dir "$name")/checkout"
    cp -r --preserve=mode "$here/files/." "$dir/upper/"
    cp "$(crictl_path)" "$dir/upper/usr/local/bin/crictl"
    install_versions "$name"
}

start_node() {
    local name=$1 log tries pid binds=("$repo")
    log=$(node_dir "$name")/data/var/log/node.log
    [[ $(target_dir)/ == "$repo"/* ]] || binds+=("$(target_dir)")
    cgroup_make "$name"
    (
        close_locks
        cgroup_join_top "$name"
        ulimit -n "$(ulimit -Hn)"
        exec setsid unshare --cgroup "$here/boot" cgroup "$name" "$(root_path)" "${binds[@]}"
    ) </dev/null >>"$log" 2>&1 &
    for tries in {1..300}; do
        # Before the node has changed its root, /proc/PID/root is the host's: no such file there.
        pid=$(node_pid "$name") && [ -e "/proc/$pid/root/run/node-ready" ] && break
        kill -0 $! 2>/dev/null && [ "$tries" -lt 300 ] && sleep 0.1 && continue
        tail -n 15 "$log" | sed 's/^/    /' >&2
        die "step failed: starting node '$name'; its log: $log"
    done
    say "node '$name': started, pid $pid"
}

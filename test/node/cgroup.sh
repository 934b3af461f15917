# shellcheck shell=bash
# The node's own cgroup, /wasmedge-node-NAME in every hierarchy: all that containerd and dockerd make lies beneath it.
# On cgroup v2 a group with controllers for its children may hold no process: there the processes sit in the leaf `init`.

# One line per hierarchy: TYPE MOUNTPOINT SUPER-OPTIONS, parents first.
cgroup_mounts() {
    awk '$5 ~ "^/sys/fs/cgroup(/|$)" {
        for (i = 7; $i != "-"; i++);
        if ($(i + 1) ~ /^cgroup2?$/) print $(i + 1), $5, $(i + 3)
    }' /proc/self/mountinfo
}

cgroup_make() {
    local group=wasmedge-node-$1 kind mount dir file
    while read -r kind mount _; do
        dir=$mount/$group
        # A cgroup v2 host gives a group only the controllers that its parent passes on.
        [ "$mount" = /sys/fs/cgroup ] && cgroup_pass_on "$mount"
        mkdir -p "$dir"
        if [ "$kind" = cgroup2 ]; then
            mkdir -p "$dir/init"
        elif [ -e "$dir/cpuset.cpus" ]; then # empty at birth on v1, and no process may enter before it is filled
            for file in cpuset.cpus cpuset.mems; do cat "$mount/$file" >"$dir/$file"; done
            echo 1 >"$dir/cgroup.clone_children"
        fi
    done < <(cgroup_mounts)
}

cgroup_pass_on() {
    local controller
    for controller in $(<"$1/cgroup.controllers"); do
        echo "+$controller" 2>/dev/null >"$1/cgroup.subtree_control" || true
    done
}

# Takes the calling shell itself into the node's group.
cgroup_join() {
    local group=wasmedge-node-$1 kind mount
    while read -r kind mount _; do
        case $kind in
        cgroup) echo "$BASHPID" >"$mount/$group/cgroup.procs" ;;
        cgroup2) echo "$BASHPID" >"$mount/$group/init/cgroup.procs" ;;
        esac || return 1
    done < <(cgroup_mounts)
}

# The same, but to the group itself on v2: a cgroup namespace begins where its maker sits.
cgroup_join_top() {
    local group=wasmedge-node-$1 mount
    while read -r _ mount _; do
        echo "$BASHPID" >"$mount/$group/cgroup.procs" || return 1
    done < <(cgroup_mounts)
}

# To the leaf, and the controllers to the children. Only cgroup v2 knows the difference.
cgroup_settle() {
    local dir kind mount
    while read -r kind mount _; do
        [ "$kind" = cgroup2 ] || continue
        dir=$mount/wasmedge-node-$1
        echo "$BASHPID" >"$dir/init/cgroup.procs"
        cgroup_pass_on "$dir"
    done < <(cgroup_mounts)
}

# Mounts the hierarchies as seen from the node's cgroup namespace under ROOT/sys/fs/cgroup, laid out as on the host.
cgroup_mount() {
    local root=$1 kind mount options
    while read -r kind mount options; do
        if [ "$mount" != /sys/fs/cgroup ] && ! mountpoint -q "$root/sys/fs/cgroup"; then
            mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
        fi
        mkdir -p "$root$mount"
        if [ "$kind" = cgroup2 ]; then
            mount -t cgroup2 cgroup2 "$root$mount"
        else
            options=$(tr ',' '\n' <<<"$options" | grep -vxE 'rw|ro|xattr|none|clone_children|release_agent=.*' | paste -sd,)
            [[ $options == name=* ]] && options=none,$options
            mount -t cgroup -o "$options" cgroup "$root$mount"
        fi
    done < <(cgroup_mounts)
}

cgroup_pids() {
    local mount
    while read -r _ mount _; do
        find "$mount/wasmedge-node-$1" -name cgroup.procs -exec cat {} + 2>/dev/null || true
    done < <(cgroup_mounts) | sort -nu
}

cgroup_dirs() {
    local mount
    while read -r _ mount _; do
        find "$mount/wasmedge-node-$1" -depth -type d 2>/dev/null || true
    done < <(cgroup_mounts)
}

# A group may stay busy for a moment after its last process.
cgroup_remove() {
    local dirs try
    for try in {1..50}; do
        mapfile -t dirs < <(cgroup_dirs "$1")
        [ ${#dirs[@]} = 0 ] && return
        rmdir "${dirs[@]}" 2>/dev/null || sleep 0.1
    done
    say "cgroups of node '$1' cannot be removed after $try tries"
}

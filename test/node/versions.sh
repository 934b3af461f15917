# shellcheck shell=bash
# Which containerd and Docker a node runs. Debian's are in the base root; others lie over them at the same paths.

containerd_versions=(debian 1.7.28 2.2.7 2.3.4)
docker_versions=(debian 29)
image_stores=(overlay2 containerd)

check_versions() {
    one_of NODE_CONTAINERD "${containerd_versions[@]}"
    one_of NODE_DOCKER "${docker_versions[@]}"
    one_of NODE_IMAGE_STORE "${image_stores[@]}"
}

# one_of VARIABLE VALUE…: it is unset, empty or one of these.
one_of() {
    local variable=$1 asked=${!1:-} value
    shift
    [ -n "$asked" ] || return 0
    for value in "$@"; do [ "$asked" != "$value" ] || return 0; done
    die "$variable=$asked is none of $(choices "$@")"
}

choices() (
    IFS='|'
    printf '%s' "$*"
)

# What a new node gets, a line for each variable. Docker's own default is containerd's image store since 29.
wanted_versions() {
    local docker=${NODE_DOCKER:-debian} store=overlay2
    [ "$docker" = debian ] || store=containerd
    printf '%s\n' "NODE_CONTAINERD=${NODE_CONTAINERD:-debian}" "NODE_DOCKER=$docker" \
        "NODE_IMAGE_STORE=${NODE_IMAGE_STORE:-$store}"
}

# A node that is up keeps its versions; who asks for none takes what there is.
refuse_other_versions() {
    local name=$1 variable value
    while IFS='=' read -r variable value; do
        [ "${!variable:-$value}" = "$value" ] ||
            die "node '$name' is up with $variable=$value, not ${!variable}: take it down first: $0 down $name"
    done < <(cat "$(state_dir "$name")/versions" 2>/dev/null)
}

ensure_versions() {
    local containerd=${NODE_CONTAINERD:-debian} docker=${NODE_DOCKER:-debian}
    [ "$containerd" = debian ] || ensure_module containerd "$containerd"
    [ "$docker" = debian ] || ensure_module docker "$docker"
}

# install_versions NAME: into the upper layer of a node that is not up yet.
install_versions() {
    local upper versions containerd docker store
    upper=$(node_dir "$1")/upper versions=$(state_dir "$1")/versions
    wanted_versions >"$versions"
    { IFS='=' read -r _ containerd && IFS='=' read -r _ docker && IFS='=' read -r _ store; } <"$versions"
    mkdir -p "$upper"/usr/{bin,sbin}
    [ "$containerd" = debian ] || cp "$(module_path containerd "$containerd")"/* "$upper/usr/bin/"
    [ "$docker" = debian ] || cp "$(module_path docker "$docker")"/* "$upper/usr/sbin/"
    [[ $containerd != 1.* ]] || mv "$upper/etc/containerd/config-1.toml" "$upper/etc/containerd/config.toml"
    [ "$store" = overlay2 ] || mv "$upper/etc/docker/daemon-$store.json" "$upper/etc/docker/daemon.json"
}

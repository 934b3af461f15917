# shellcheck shell=bash
# What is built from Go modules, once each: crictl, which Debian does not package (tools/go.mod names its version), and
# for a node that asks for them other versions of containerd and Docker than Debian's (versions.sh).

ensure_crictl() {
    [ -x "$(crictl_path)" ] || with_lock "$cache_dir/tools.lock" build_crictl
}

crictl_path() {
    local hash
    hash=$(cat "$here/tools/go.mod" "$here/tools/go.sum" | sha256sum)
    printf '%s/tools/crictl-%s' "$cache_dir" "${hash:0:12}"
}

build_crictl() {
    local out module=sigs.k8s.io/cri-tools version
    out=$(crictl_path)
    [ -x "$out" ] && return
    require_go
    version=$(awk -v module="$module" '$1 == module { print $2 }' "$here/tools/go.mod")
    mkdir -p "${out%/*}"
    step "$cache_dir/tools.log" "crictl $version: go build" env CGO_ENABLED=0 go build -C "$here/tools" -trimpath \
        -mod=readonly -ldflags "-s -w -X $module/pkg/version.Version=$version" -o "$out.tmp" "$module/cmd/crictl"
    mv "$out.tmp" "$out"
}

require_go() {
    command -v go >/dev/null || [ ! -x /usr/local/go/bin/go ] || PATH=$PATH:/usr/local/go/bin
    command -v go >/dev/null ||
        die "go is missing, and tools of the node are built with it: install Go $(awk '$1 == "go" { print $2 }' "$here/tools/go.mod") or later"
}

# module_recipe NAME VERSION: module, its version, go build's arguments; a word per line.
# Without cgo the programs run whatever the node's libc is. What needs it and is left out: btrfs, journald's logs and
# the quotas of overlay2; Docker then calls the nft command instead of libnftables.
module_recipe() {
    local name=$1 version=$2 module=github.com/containerd/containerd
    local flags=(-mod=readonly -trimpath -ldflags)
    case $name-$version in
    containerd-*)
        [[ $version == 1.* ]] || module+=/v2
        flags+=("-s -w -X $module/version.Version=v$version" -tags no_btrfs,no_devmapper,no_zfs,no_aufs)
        printf '%s\n' "$module" "v$version" "${flags[@]}" ./cmd/containerd ./cmd/ctr ./cmd/containerd-shim-runc-v2
        ;;
    docker-29) # its modules have numbers of their own
        module=github.com/moby/moby/v2
        flags+=("-s -w -X $module/dockerversion.Version=29.0.0-beta.1" -tags netgo,osusergo)
        printf '%s\n' "$module" v2.0.0-beta.1 "${flags[@]}" ./cmd/dockerd ./cmd/docker-proxy
        ;;
    esac
}

# The folder with the programs of NAME VERSION.
module_path() {
    local hash
    hash=$(module_recipe "$1" "$2" | sha256sum)
    printf '%s/tools/%s-%s-%s' "$cache_dir" "$1" "$2" "${hash:0:12}"
}

ensure_module() {
    [ -d "$(module_path "$1" "$2")" ] || with_lock "$cache_dir/tools.lock" build_module "$1" "$2"
}

# `go install MODULE@VERSION` refuses a module that excludes versions of others, as containerd 1.7 and Docker do. Built in
# its folder of the module cache, a module is the main one and its go.sum holds.
build_module() {
    local name=$1 version=$2 out recipe source log
    out=$(module_path "$name" "$version")
    log=$out.log
    [ -d "$out" ] && return
    require_go
    mapfile -t recipe < <(module_recipe "$name" "$version")
    mkdir -p "${out%/*}"
    rm -rf "$out.tmp"
    : >"$log"
    step "$log" "$name $version: go mod download" go mod download "${recipe[0]}@${recipe[1]}"
    source=$(go mod download -json "${recipe[0]}@${recipe[1]}" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    step "$log" "$name $version: go build" nice -n 10 env CGO_ENABLED=0 GOOS=linux GOARCH=amd64 \
        go build -C "$source" -o "$out.tmp/" "${recipe[@]:2}"
    mv "$out.tmp" "$out"
}

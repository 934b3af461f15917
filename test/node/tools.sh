# shellcheck shell=bash
# What is built from Go modules, once each: crictl, which Debian does not package (tools/go.mod names its version), and
# for a node that asks for them other versions of containerd and Docker than Debian's (versions.sh).

ensure_crictl() {
    local module=sigs.k8s.io/cri-tools version
    version=$(awk -v module="$module" '$1 == module { print $2 }' "$here/tools/go.mod")
    ensure_go_tool crictl "$here/tools" "$module/cmd/crictl" "-X $module/pkg/version.Version=$version"
}

crictl_path() { go_tool_path crictl "$here/tools"; }

# go_tool_path NAME MODULE: where the program is that the Go module in the folder MODULE builds.
go_tool_path() {
    local hash
    hash=$(cat "$2/go.mod" "$2/go.sum" | sha256sum)
    printf '%s/tools/%s-%s' "$cache_dir" "$1" "${hash:0:12}"
}

# ensure_go_tool NAME MODULE PACKAGE [FLAGS [TAGS]]: FLAGS are more of the linker's.
ensure_go_tool() {
    [ -x "$(go_tool_path "$1" "$2")" ] || with_lock "$cache_dir/tools.lock" build_go_tool "$@"
}

# ensure_go_test NAME MODULE_DIRECTORY PACKAGE: the same with a package's tests, as a program.
ensure_go_test() {
    [ -x "$(go_tool_path "$1" "$2")" ] || with_lock "$cache_dir/tools.lock" build_go_tool "$1" "$2" "$3" "" "" "test -c"
}

build_go_tool() {
    local name=$1 module=$2 package=$3 flags=${4:-} tags=${5:-} verb out
    read -ra verb <<<"${6:-build}"
    out=$(go_tool_path "$name" "$module")
    [ -x "$out" ] && return
    require_go
    mkdir -p "${out%/*}"
    step "$cache_dir/tools.log" "$name: go build" nice -n 10 env CGO_ENABLED=0 go "${verb[0]}" -C "$module" "${verb[@]:1}" -trimpath -mod=readonly \
        -tags "$tags" -ldflags "-s -w $flags" -o "$out.tmp" "$package"
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

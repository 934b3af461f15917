# shellcheck shell=bash
# crictl: Debian does not package it, so it is built from its Go module (tools/go.mod names the version).

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
    command -v go >/dev/null || [ ! -x /usr/local/go/bin/go ] || PATH=$PATH:/usr/local/go/bin
    command -v go >/dev/null ||
        die "go is missing, and crictl is built with it: install Go $(awk '$1 == "go" { print $2 }' "$here/tools/go.mod") or later"
    version=$(awk -v module="$module" '$1 == module { print $2 }' "$here/tools/go.mod")
    mkdir -p "${out%/*}"
    step "$cache_dir/tools.log" "crictl $version: go build" env CGO_ENABLED=0 go build -C "$here/tools" -trimpath \
        -mod=readonly -ldflags "-s -w -X $module/pkg/version.Version=$version" -o "$out.tmp" "$module/cmd/crictl"
    mv "$out.tmp" "$out"
}

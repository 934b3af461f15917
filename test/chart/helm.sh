# shellcheck shell=bash
# helm, built from its Go module; go.mod names its version.
chart_tests=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../node/common.sh
. "$chart_tests/../node/common.sh"
# shellcheck source=../node/tools.sh
here=$chart_tests/../node . "$chart_tests/../node/tools.sh"

helm_path() {
    local hash
    hash=$(cat "$chart_tests/go.mod" "$chart_tests/go.sum" | sha256sum)
    printf '%s/tools/helm-%s' "$cache_dir" "${hash:0:12}"
}

ensure_helm() {
    [ -x "$(helm_path)" ] || with_lock "$cache_dir/tools.lock" build_helm
}

build_helm() {
    local out
    out=$(helm_path)
    [ -x "$out" ] && return
    require_go
    mkdir -p "${out%/*}"
    step "$cache_dir/tools.log" "helm: go build" nice -n 10 env CGO_ENABLED=0 go build -C "$chart_tests" -trimpath \
        -mod=readonly -ldflags "-s -w" -o "$out.tmp" helm.sh/helm/v4/cmd/helm
    mv "$out.tmp" "$out"
}

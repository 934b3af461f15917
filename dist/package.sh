# shellcheck shell=bash
# Packages of distributions, by nfpm.

package_name=containerd-shim-wasmedge

nfpm_path() {
    local hash
    hash=$(cat "$here"/nfpm/go.{mod,sum} | sha256sum)
    printf '%s/tools/nfpm-%s' "$cache_dir" "${hash:0:12}"
}

ensure_nfpm() {
    [ -x "$(nfpm_path)" ] || with_lock "$cache_dir/tools.lock" build_nfpm
}

build_nfpm() {
    local out
    out=$(nfpm_path)
    [ -x "$out" ] && return
    require_go
    mkdir -p "${out%/*}"
    step "$cache_dir/tools.log" "nfpm: go build" env CGO_ENABLED=0 go build -C "$here/nfpm" -trimpath -mod=readonly \
        -ldflags '-s -w' -o "$out.tmp" github.com/goreleaser/nfpm/v2/cmd/nfpm
    mv "$out.tmp" "$out"
}

# make_packages ARCH FILE LICENCES OUT
make_packages() {
    local kind version
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$repo/Cargo.toml" | head -n 1)
    ensure_nfpm
    for kind in deb rpm apk; do
        NFPM_ARCH=$1 NFPM_VERSION=$version NFPM_FILE=$2 NFPM_LICENCES=$3 NFPM_FILES=$here/files \
            SOURCE_DATE_EPOCH=$made "$(nfpm_path)" package --config "$here/nfpm/nfpm.yaml" --packager "$kind" \
            --target "$4/${package_name}_${version}_$1.$kind" >&2 || die "step failed: nfpm, see above"
    done
}

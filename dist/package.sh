# shellcheck shell=bash
# Packages of distributions, by nfpm.

package_name=containerd-shim-wasmedge

# make_packages ARCH FILE LICENCES OUT
make_packages() {
    local kind version
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$repo/Cargo.toml" | head -n 1)
    ensure_go_tool nfpm "$here/nfpm" github.com/goreleaser/nfpm/v2/cmd/nfpm
    for kind in deb rpm apk; do
        NFPM_ARCH=$1 NFPM_VERSION=$version NFPM_FILE=$2 NFPM_LICENCES=$3 NFPM_FILES=$here/files \
            SOURCE_DATE_EPOCH=$made "$(go_tool_path nfpm "$here/nfpm")" package --config "$here/nfpm/nfpm.yaml" --packager "$kind" \
            --target "$4/${package_name}_${version}_$1.$kind" >&2 || die "step failed: nfpm, see above"
    done
}

# shellcheck shell=bash
# What is released, by its files alone.

check_artifacts() {
    local arch
    one "the manual page and the completion have each option" options_are_told
    for arch in $(find "$product" -name '*.tar.gz' -printf '%f\n' | sed 's/.*-linux-\(.*\)\.tar\.gz/\1/' | sort); do
        one "names for $arch, which others rely on" names "$arch"
        one "the archive for $arch has one file, at its root" has "containerd-shim-wasmedge-v1" \
            tar --list --gzip --file "$product/containerd-shim-wasmedge-v1-linux-$arch.tar.gz"
        one "the deb for $arch" packaged dpkg-deb --fsys-tarfile "$(package "$arch" deb)"
        one "the apk for $arch" has_package_files tar --list --gzip --ignore-zeros --warning=no-unknown-keyword --file "$(package "$arch" apk)"
        one "the rpm for $arch" has_package_files rpm_list "$(package "$arch" rpm)"
        one "the bills of $arch name crates and libraries" bills "$arch"
        one "what is signed for $arch verifies, and nothing else" signatures "$arch"
        one "the file for $arch is at most 35 MB" [ "$(stat -c %s "$product/work/$arch/containerd-shim-wasmedge-v1")" -le 35000000 ]
    done
}

one() {
    local what=$1 said
    shift
    if said=$("$@" 2>&1); then printf 'ok %s\n' "$what"; else printf 'FAILED %s\n%s\n' "$what" "$said"; fi
}

package() { printf '%s\n' "$product"/containerd-shim-wasmedge_[0-9]*_"$1.$2"; }

names() {
    local version expected
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$repo/Cargo.toml" | head -n 1)
    expected=$(printf '%s\n' "containerd-shim-wasmedge-v1-linux-$1".{cdx.json,licences.txt,spdx.json,tar.gz} \
        "containerd-shim-wasmedge-v1-installer-linux-$1".{cdx.json,oci.tar,spdx.json} "containerd-shim-wasmedge_${version}_$1".{apk,deb,rpm})
    diff <(sort <<<"$expected") <(cd "$product" && find . -maxdepth 1 -type f -name "*[_-]$1.*" -printf '%f\n' | sort)
}

# has LINES COMMAND…: it prints these.
has() {
    local lines=$1
    shift
    diff <(printf '%s\n' "$lines") <("$@")
}

packaged() { has_package_files sh -c '"$@" | tar --list' sh "$@"; }

has_package_files() {
    local list file
    list=$("$@") || return 1
    for file in usr/bin/containerd-shim-wasmedge-v1 usr/bin/wasmedge-engine usr/share/doc/containerd-shim-wasmedge/copyright; do
        grep -qE "^[./]*$file$" <<<"$list" || { printf 'no %s in\n%s\n' "$file" "$list"; return 1; }
    done
}

rpm_list() { rpm2cpio "$1" | cpio --list --quiet; }

bills() {
    local kind shared=(pkg:cargo/{wasmedge-sys,containerd-shim}@ pkg:deb/debian/{libwasmedge0@,llvm-,libc6@,libc6-dev} pkg:generic/rust@)
    for kind in spdx cdx; do
        names_parts "containerd-shim-wasmedge-v1-linux-$1.$kind.json" "${shared[@]}" || return 1
        names_parts "containerd-shim-wasmedge-v1-installer-linux-$1.$kind.json" "${shared[@]}" pkg:cargo/{wasmedge-kubernetes,rustls,ring}@ ||
            return 1
    done
}

names_parts() {
    local file=$product/$1 part
    shift
    for part; do
        grep -q "$part" "$file" || { printf 'no %s in %s\n' "$part" "$file"; return 1; }
    done
}

# With a key of our own.
signatures() {
    local dir field tools
    tools=$(target_dir)/release/dist-tools
    dir=$(mktemp -d)
    openssl ecparam -name prime256v1 -genkey -noout -out "$dir/key" && openssl ec -in "$dir/key" -pubout -out "$dir/public" || return 1
    cp "$product/SHA256SUMS" "$dir/"
    DIST_KEY=$dir/key sign "$dir" "$1" || return 1
    verifies "$dir" "$(cat "$dir/SHA256SUMS.sig")" <"$dir/SHA256SUMS" || return 1
    ! sed 's/^./x/' "$dir/SHA256SUMS" | verifies "$dir" "$(cat "$dir/SHA256SUMS.sig")" || return 1
    field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$dir/provenance.intoto.json"; }
    field payload | base64 -d >"$dir/statement"
    grep -q '"predicateType":"https://slsa.dev/provenance/v1"' "$dir/statement" || return 1
    { printf 'DSSEv1 28 application/vnd.in-toto+json %s ' "$(stat -c %s "$dir/statement")" && cat "$dir/statement"; } |
        verifies "$dir" "$(field sig)" || return 1
    rm -rf "$dir"
}

# verifies DIRECTORY SIGNATURE: of what comes.
verifies() {
    base64 -d <<<"$2" >"$1/raw"
    openssl dgst -sha256 -verify "$1/public" -signature "$1/raw"
}

options_are_told() {
    local option file
    while read -r option; do
        for file in containerd-shim-wasmedge-v1.8 completion.bash; do
            sed 's/\\-/-/g' "$repo/dist/files/$file" | grep -q -- "$option\b" || { echo "$file: no $option"; return 1; }
        done
    done < <("$product/work/$(dpkg --print-architecture)/containerd-shim-wasmedge-v1" install --help | grep -o -- '--[a-z-]*' | sort -u)
}

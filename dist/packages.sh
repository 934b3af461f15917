# shellcheck shell=bash
# Debian's packages that the engine is made of, for one architecture: downloaded and unpacked, not installed.

packages_suite=forky
# Raise it when what is done with them changes in a way that the list does not show.
packages_recipe=1
# WasmEdge, the compiler that it calls, and what both of them need. LLVM comes as static libraries: see libllvm.sh.
debian_packages=(libwasmedge0 llvm-21-dev libstdc++6 libgcc-s1 libfmt11 libspdlog1.15 zlib1g libzstd1 libseccomp2 libc6 libc6-dev)

packages_dir() {
    local hash
    hash=$(printf '%s\n' "$packages_suite" "$packages_recipe" "${debian_packages[@]}" | sha256sum)
    printf '%s/dist/%s-%s' "$cache_dir" "$1" "${hash:0:12}"
}

# ensure_packages ARCH: into packages_dir: root/, and versions, a line "NAME VERSION" for each.
ensure_packages() {
    [ -d "$(packages_dir "$1")" ] || with_lock "$cache_dir/dist-$1.lock" fetch_packages "$1"
}

# Made beside its place and renamed when complete.
fetch_packages() {
    local arch=$1 out tmp log deb
    out=$(packages_dir "$arch")
    tmp=$out.tmp log=$out.log
    [ -d "$out" ] && return
    rm -rf "$tmp"
    mkdir -p "$tmp"/{apt/lists/partial,apt/archives/partial,debs,root}
    : >"$log"
    apt_settings "$arch" "$tmp" >"$tmp/apt.conf"
    step "$log" "packages for $arch: lists" env APT_CONFIG="$tmp/apt.conf" apt-get update
    step "$log" "packages for $arch: ${#debian_packages[@]} of $packages_suite" \
        env -C "$tmp/debs" APT_CONFIG="$tmp/apt.conf" apt-get download "${debian_packages[@]}"
    fetch_texts "$tmp" "$log"
    for deb in "$tmp"/debs/*.deb; do
        dpkg-deb -f "$deb" Package Version | awk '{ printf "%s%s", $2, NR % 2 ? " " : "\n" }' >>"$tmp/versions"
        step "$log" "unpacking ${deb##*/}" dpkg-deb -x "$deb" "$tmp/root"
    done
    rm -rf "$tmp/apt" "$tmp/debs"
    mv "$tmp" "$out"
}

# The licences of some packages are in another one, to whose folder theirs is a link.
fetch_texts() {
    local tmp=$1 log=$2 deb
    for deb in "$tmp"/debs/*.deb; do
        dpkg-deb -c "$deb" | sed -n "s|.* ./usr/share/doc/[^/]* -> \([^/]*\)$|\1|p"
    done | sort -u >"$tmp/texts"
    [ ! -s "$tmp/texts" ] || step "$log" "packages with licences: $(paste -sd ' ' "$tmp/texts")" \
        env -C "$tmp/debs" APT_CONFIG="$tmp/apt.conf" xargs -a "$tmp/texts" apt-get download
}

# apt with folders of its own, for an architecture that need not be the host's.
apt_settings() {
    local arch=$1 dir=$2
    printf 'deb [arch=%s signed-by=%s] %s %s main\n' "$arch" /usr/share/keyrings/debian-archive-keyring.gpg \
        "$(debian_mirror)" "$packages_suite" >"$dir/sources.list"
    touch "$dir/apt/status"
    cat <<-END
	APT::Architecture "$arch";
	APT::Architectures { "$arch"; };
	APT::Sandbox::User "root";
	Dir::Etc::SourceList "$dir/sources.list";
	Dir::Etc::SourceParts "/nonexistent";
	Dir::State "$dir/apt";
	Dir::State::status "$dir/apt/status";
	Dir::Cache "$dir/apt";
	END
    apt-config dump --format '%F "%v";%n' Acquire::http Acquire::https Acquire::Check-Date Acquire::Check-Valid-Until
}

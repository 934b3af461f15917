# shellcheck shell=bash
# The base root: a Debian with containerd 2, Docker 28 and WasmEdge, shared read-only by all nodes of the machine.
# It lies in the cache under a name made of what it is made from, so a changed recipe makes a new one.

root_suite=forky
# Raise it when the recipe below changes in a way that the package list does not show.
root_recipe=1
root_packages=(
    tini busybox-static ca-certificates curl jq procps psmisc strace kmod libcap2-bin util-linux      # tools
    iproute2 iptables nftables conntrack ethtool socat containernetworking-plugins                    # network
    containerd docker.io docker-cli runc libwasmedge-dev                                              # what is tested
)

root_path() {
    local hash
    hash=$(printf '%s\n' "$root_suite" "$root_recipe" "${root_packages[@]}" | sha256sum)
    printf '%s/root-%s' "$cache_dir" "${hash:0:12}"
}

ensure_root() {
    [ -d "$(root_path)" ] || with_lock "$cache_dir/root.lock" build_root
}

# Built beside its place and renamed when complete: a half-made root is never taken for a whole one.
build_root() {
    local root tmp log
    root=$(root_path)
    tmp=$root.tmp log=$root.log
    [ -d "$root" ] && return
    say "making the base root $root (once, some minutes)"
    rm -rf --one-file-system "$tmp"
    : >"$log"
    local mirror
    mirror=$(debian_mirror)
    # A mount namespace of its own takes the mounts of debootstrap and of package scripts along when it ends.
    step "$log" "base root: debootstrap $root_suite" unshare --mount --propagation private \
        debootstrap --variant=minbase --include=ca-certificates "$root_suite" "$tmp" "$mirror" \
        /usr/share/debootstrap/scripts/sid
    configure_root "$tmp"
    # shellcheck disable=SC2016 # for the shells inside
    step "$log" "base root: installing ${#root_packages[@]} packages" unshare --mount --propagation private \
        bash -euc 'mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"; shift
                   exec env DEBIAN_FRONTEND=noninteractive chroot "$@"' bash "$tmp" "$tmp" \
        bash -euc 'apt-get update; apt-get install -y --no-install-recommends "$@"; apt-get clean' bash "${root_packages[@]}"
    rm -rf "$tmp"/var/lib/apt/lists/* "$tmp"/var/log/* "$tmp"/usr/sbin/policy-rc.d
    mv "$tmp" "$root"
}

# No services at installation, no documentation, no fsync (an unfinished root is thrown away); the host's own apt
# settings for reaching the mirror.
configure_root() {
    local root=$1
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    printf 'force-unsafe-io\npath-exclude=/usr/share/%s\npath-exclude=/usr/share/%s\npath-exclude=/usr/share/%s\n' \
        'doc/*' 'man/*' 'locale/*' >"$root/etc/dpkg/dpkg.cfg.d/node"
    apt-config dump --format '%F "%v";%n' Acquire::http Acquire::https Acquire::Check-Date Acquire::Check-Valid-Until \
        >"$root/etc/apt/apt.conf.d/90host"
}

# debian_tree NAME SUITE LOG PACKAGE…: prints where a Debian with these packages is, which programs for images are taken from.
# Made once, in the cache.
debian_tree() {
    local name=$1 suite=$2 log=$3 hash
    shift 3
    hash=$(printf '%s\n' "$suite" "$@" | sha256sum)
    local tree=$cache_dir/$name-root-${hash:0:12}
    [ -d "$tree" ] || with_lock "$cache_dir/$name-root.lock" build_tree "$tree" "$suite" "$log" "$@"
    printf '%s' "$tree"
}

build_tree() {
    local tree=$1 suite=$2 log=$3 include
    shift 3
    [ -d "$tree" ] && return
    rm -rf --one-file-system "$tree.tmp"
    include=$(printf '%s,' "$@")
    step "$log" "${tree##*/}: debootstrap $suite" unshare --mount --propagation private \
        debootstrap --variant=minbase --include="${include%,}" "$suite" "$tree.tmp" "$(debian_mirror)" >&2
    mv "$tree.tmp" "$tree"
}

# The mirror that this machine's apt uses itself, whatever the format of its sources; NODE_MIRROR overrides.
debian_mirror() {
    local uri codename
    if [ -n "${NODE_MIRROR:-}" ]; then
        printf '%s' "$NODE_MIRROR"
        return
    fi
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
    # shellcheck disable=SC2016 # apt's own variables
    uri=$(apt-get indextargets --format '$(ORIGIN) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
        awk -v release="$codename" '$1 == "Debian" && $2 == release { print $3; exit }')
    if [ -z "$uri" ]; then # before the first `apt-get update` apt does not know the origin of a source
        # shellcheck disable=SC2016
        uri=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
            awk -v release="$codename" '$1 == release && $2 ~ /debian\/?$/ { print $2; exit }')
    fi
    [ -n "$uri" ] || die "apt's sources name no Debian mirror for '$codename': name one in NODE_MIRROR"
    printf '%s' "$uri"
}

# shellcheck shell=bash
# The machine's disk: the test node's base root with systemd and Debian's kernel, made once per recipe.

# Raise it when the recipe below changes in a way that the package list does not show.
image_recipe=1
image_packages=(systemd-sysv dbus udev initramfs-tools zstd linux-image-cloud-amd64)
# Nothing may come and go by itself while tests count processes, files and cgroups.
image_masked=(
    timers.target getty.target systemd-logind.service nftables.service
    systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service
    systemd-networkd.service systemd-binfmt.service systemd-pcrphase.service systemd-tpm2-setup.service
)

image_path() {
    local hash
    hash=$(printf '%s\n' "$(root_path)" "$image_recipe" "${image_packages[@]}" "${image_masked[@]}" |
        cat - "$vm"/guest/boot.service | sha256sum)
    printf '%s/vm-%s' "$cache_dir" "${hash:0:12}"
}

ensure_image() {
    [ -d "$(image_path)" ] || with_lock "$cache_dir/root.lock" build_image
}

# Built beside its place and renamed when complete.
build_image() {
    local image tmp log
    image=$(image_path)
    tmp=$image.tmp log=$image.log
    [ -d "$image" ] && return
    say "making the virtual machine's disk $image (once, some minutes)"
    rm -rf --one-file-system "$tmp"
    mkdir -p "$tmp"
    : >"$log"
    step "$log" "disk: copying the base root" cp -a "$(root_path)" "$tmp/root"
    configure_root "$tmp/root"
    # shellcheck disable=SC2016 # for the shells inside
    step "$log" "disk: installing ${#image_packages[@]} packages" unshare --mount --propagation private \
        bash -euc 'mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"; shift
                   exec env DEBIAN_FRONTEND=noninteractive chroot "$@"' bash "$tmp/root" "$tmp/root" \
        bash -euc 'apt-get update; apt-get install -y --no-install-recommends "$@"; apt-get clean' bash \
        "${image_packages[@]}"
    set_up_systemd "$tmp/root" >>"$log" 2>&1
    cp "$tmp"/root/boot/vmlinuz-* "$tmp/kernel"
    cp "$tmp"/root/boot/initrd.img-* "$tmp/initrd"
    step "$log" "disk: making the file system" mke2fs -q -t ext4 -L vm -d "$tmp/root" "$tmp/root.ext4" 8G
    rm -rf --one-file-system "$tmp/root"
    mv "$tmp" "$image"
}

# Services start when the tests want them, with the tests' configuration; boot.service fetches both.
set_up_systemd() {
    local root=$1
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/usr/sbin/policy-rc.d
    mkdir -p "$root/var/log/journal" "$root/opt/vm"
    echo wasmedge-vm >"$root/etc/hostname"
    printf '%032d\n' 1 >"$root/etc/machine-id"
    cp "$vm/guest/boot.service" "$root/etc/systemd/system/"
    chroot "$root" systemctl disable containerd.service docker.service docker.socket
    chroot "$root" systemctl mask "${image_masked[@]}"
    chroot "$root" systemctl enable boot.service
    chroot "$root" systemctl set-default multi-user.target
}

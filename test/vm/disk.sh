# shellcheck shell=bash
# The machine's second disk, made anew for each run: configuration, binaries, images and tests. Ext4 like the first, as
# Debian's cloud kernel has no file system that shares a folder with the host.

# To $work/disk.ext4.
make_disk() {
    local file=$work/disk.ext4 dir=$work/disk name
    rm -rf "$dir"
    mkdir -p "$dir/bin" "$dir/files"
    cp -r "$repo/test/node/files/etc" "$vm"/guest/{etc,usr} "$dir/files/"
    cp "$vm/guest/run" "$dir/"
    for name in "${product_binaries[@]}"; do cp "$(target_dir)/release/$name" "$dir/bin/"; done
    cp "$(crictl_path)" "$dir/bin/crictl"
    cp "$repo/test/e2e/load-images" "$dir/bin/"
    cp -r "$repo/target/images" "$dir/images"
    cp "$tests" "$dir/bin/e2e-tests"
    cp "$work"/arguments.* "$dir/"
    [ -z "${VM_SCRIPT:-}" ] || cp "$VM_SCRIPT" "$dir/script"
    # A minute for the logs and the end.
    printf 'VM_SECONDS=%q\nVM_DRIVERS=%q\nexport E2E_PATIENCE=%q\n' \
        "$((limit - 60))" "$VM_DRIVERS" "$VM_PATIENCE" >"$dir/settings"
    rm -f "$file"
    truncate -s 512M "$file"
    mke2fs -q -t ext4 -O ^has_journal -d "$dir" "$file"
}

# shellcheck shell=bash
# The machine: Debian's kernel, and a root in memory.

machine_recipe=1

machine_dir() { printf '%s/vm-arm64-%s-%s' "$cache_dir" "$1" "$machine_recipe"; }

ensure_machine() {
    [ -d "$(machine_dir "$1")" ] || with_lock "$cache_dir/vm-arm64.lock" fetch_machine "$1"
}

# fetch_machine PAGES: kernel, modules and busybox of Debian's packages.
fetch_machine() {
    local out tmp log meta version deb
    out=$(machine_dir "$1")
    tmp=$out.tmp log=$out.log
    [ -d "$out" ] && return
    case $1 in 4k) meta=linux-image-cloud-arm64 ;; 16k) meta=linux-image-arm64-16k ;; esac
    rm -rf "$tmp"
    mkdir -p "$tmp"/{apt/lists/partial,apt/archives/partial,debs,root}
    : >"$log"
    apt_settings arm64 "$tmp" >"$tmp/apt.conf"
    export APT_CONFIG=$tmp/apt.conf
    step "$log" "machine: lists" apt-get update
    # The other dependencies of the meta-package make initrds and boot loaders work.
    version=$(apt-cache depends "$meta" | sed -n 's/.*Depends: linux-image-\([0-9].*\)/\1/p' | head -n 1)
    step "$log" "machine: Linux $version" \
        env -C "$tmp/debs" apt-get download "linux-binary-$version" "linux-modules-$version" busybox-static
    unset APT_CONFIG
    for deb in "$tmp"/debs/*.deb; do
        step "$log" "unpacking ${deb##*/}" dpkg-deb -x "$deb" "$tmp/root"
    done
    unpack_kernel "$(find "$tmp/root" -name 'vmlinuz*' -type f | head -n 1)" "$tmp/kernel"
    rm -rf "$tmp/apt" "$tmp/debs"
    mv "$tmp" "$out"
}

# A kernel that unpacks itself when EFI starts it (`linux/pe.h`, `struct linux_efi_zboot_header`) is not what qemu starts.
unpack_kernel() {
    local offset size
    if [ "$(dd if="$1" bs=1 skip=4 count=4 status=none)" != zimg ]; then
        cp "$1" "$2"
        return
    fi
    read -r offset size < <(od -A n -t u4 -j 8 -N 8 "$1")
    tail -c +"$((offset + 1))" "$1" | head -c "$size" >"$2.packed"
    case $(dd if="$1" bs=1 skip=24 count=4 status=none) in
    gzip) gzip -dcq <"$2.packed" >"$2" || [ $? = 2 ] ;; # a size stands behind it
    zstd) zstd -dcq <"$2.packed" >"$2" ;;
    *) die "$1 is packed in a way that is not known" ;;
    esac
    rm "$2.packed"
}

# containerd and ctr, cross-built, once.
ensure_containerd() {
    [ -x "$(containerd_dir)/containerd" ] || with_lock "$cache_dir/tools.lock" build_containerd
}

containerd_dir() { printf '%s-arm64' "$(module_path containerd 2.2.7)"; }

build_containerd() {
    local out recipe source
    out=$(containerd_dir)
    require_go
    mapfile -t recipe < <(module_recipe containerd 2.2.7)
    step "$cache_dir/tools.log" "containerd 2.2.7: go mod download" go mod download "${recipe[0]}@${recipe[1]}"
    source=$(go mod download -json "${recipe[0]}@${recipe[1]}" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    step "$cache_dir/tools.log" "containerd 2.2.7 for arm64: go build" nice -n 10 env CGO_ENABLED=0 GOOS=linux GOARCH=arm64 \
        go build -C "$source" -o "$out.tmp/" "${recipe[@]:2:4}" ./cmd/containerd ./cmd/ctr
    mv "$out.tmp" "$out"
}

# make_initrd PAGES: to $work/initrd.
make_initrd() {
    local machine root module
    machine=$(machine_dir "$1") root=$work/root
    rm -rf "$root"
    mkdir -p "$root"/{bin,dev,etc,lib,proc,run,sys,tmp,usr/local/bin,var/lib,wasm,linux/bin}
    find "$machine/root" -path '*bin/busybox' -exec cp {} "$root/bin/busybox" \;
    ln -s busybox "$root/bin/sh"
    cp "$root/bin/busybox" "$root/linux/bin/sh"
    while read -r module; do
        case $module in
        *.xz) xz -dc "$module" >"$root/lib/overlay.ko" ;;
        *.zst) zstd -dcq "$module" >"$root/lib/overlay.ko" ;;
        *) cp "$module" "$root/lib/overlay.ko" ;;
        esac
    done < <(find "$machine/root" -name 'overlay.ko*')
    cp "$(containerd_dir)"/{containerd,ctr} "$packed" "$root/usr/local/bin/"
    cp "$repo"/target/test-images/workloads/wasm32-wasip1/release/*.wasm "$root/wasm/"
    cp "$vm/init" "$root/init"
    [ ! -e "$work/engine-tests" ] || cp "$work/engine-tests" "$root/usr/local/bin/"
    (cd "$root" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) >"$work/initrd"
}

# start PAGES: runs the machine to its end; what it says is in results.log and console.log.
start() {
    local machine limit=$((${VM_TIMEOUT:-20} * 60)) shown qemu
    machine=$(machine_dir "$1")
    : >"$work/results.log"
    timeout --kill-after=5 "$limit" qemu-system-aarch64 -machine virt,gic-version=3 -cpu max,pauth-impdef=on -accel tcg,thread=multi -smp 2 -m 3072 \
        -nodefaults -display none -no-reboot -kernel "$machine/kernel" -initrd "$work/initrd" \
        -append 'console=ttyAMA0 panic=-1 quiet mitigations=off' \
        -serial "file:$work/console.log" -device virtio-serial-pci \
        -chardev "file,id=results,path=$work/results.log" -device virtconsole,chardev=results \
        -device virtio-rng-pci </dev/null >"$work/qemu.log" 2>&1 &
    qemu=$!
    tail -n +1 -F --pid="$qemu" "$work/results.log" 2>/dev/null &
    shown=$!
    wait "$qemu" || say "qemu ended with code $?: $(tail -n 3 "$work/qemu.log"); $work/console.log"
    wait "$shown" || true
}

# shellcheck shell=bash
# qemu: starting the machine, following what it says, ending it whatever happens.

qemu=
kernel_options=(
    root=/dev/vda rw fsck.mode=skip console=ttyS0 systemd.show_status=false
    panic=-1                                                 # a panic ends qemu
    mitigations=off rcupdate.rcu_expedited=1 init_on_alloc=0 # less to emulate
)

# One host thread for both processors: with a thread each, qemu may run code that the kernel has just patched, and the
# kernel panics when the first CPU limit switches its accounting on. Changes of the first disk are thrown away.
# Whatever ends this script ends qemu, a SIGKILL too.
start_machine() {
    local image
    image=$(image_path)
    truncate -s 0 "$work/console.log" "$work/results.log"
    rm -f "$work/logs.disk"
    truncate -s 64M "$work/logs.disk"
    (
        close_locks
        exec setpriv --pdeathsig KILL qemu-system-x86_64 -machine q35 -cpu max,la57=off \
            -accel tcg,thread=single -smp 2 -m 3072 -nodefaults -display none -no-reboot \
            -kernel "$image/kernel" -initrd "$image/initrd" \
            -append "${kernel_options[*]}" \
            -drive "file=$image/root.ext4,format=raw,if=virtio,snapshot=on,cache=unsafe" \
            -drive "file=$work/disk.ext4,format=raw,if=virtio,readonly=on" \
            -drive "file=$work/logs.disk,format=raw,if=virtio,cache=unsafe" \
            -serial "file:$work/console.log" -serial "file:$work/results.log" -device virtio-rng-pci
    ) </dev/null >"$work/qemu.log" 2>&1 &
    qemu=$!
}

# Shows the results as they come, until the machine ends by itself or SECONDS are over: 0 if it ended in time.
watch_machine() {
    local end=$((SECONDS + $1)) shown
    tail -n +1 -F --pid="$qemu" "$work/results.log" 2>/dev/null &
    shown=$!
    while kill -0 "$qemu" 2>/dev/null && [ "$SECONDS" -lt "$end" ]; do sleep 1; done
    if kill -0 "$qemu" 2>/dev/null; then
        stop_machine
        wait "$shown" || true
        return 1
    fi
    wait "$shown" || true
    wait "$qemu" || say "qemu ended with code $?: $(tail -n 3 "$work/qemu.log")"
    qemu=
}

stop_machine() {
    [ -n "$qemu" ] || return 0
    kill -KILL "$qemu" 2>/dev/null || true
    wait "$qemu" 2>/dev/null || true
    qemu=
}

# The logs that the machine wrote to its third disk.
unpack_logs() {
    rm -rf "$work/logs"
    mkdir -p "$work/logs"
    tar -C "$work/logs" -xf "$work/logs.disk" 2>/dev/null ||
        say "no logs came out of the machine: see $work/console.log"
    rm -f "$work/logs.disk"
}

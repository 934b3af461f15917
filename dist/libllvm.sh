# shellcheck shell=bash
# A libLLVM for one processor, with what libwasmedge calls and nothing else: a third of Debian's own, which has every target.

# link_libllvm ARCH ROOT OUTPUT: from the packages unpacked in ROOT.
#
# libwasmedge, through lld, initialises every target that LLVM was built with; those of other processors stand for the first
# step of the node's own, which may be done again. It calls lld to link native objects only, never bitcode, so what lld has
# for optimizing at link time is not reached, and the passes of Polly, which are in another package, are not needed.
link_libllvm() {
    local arch=$1 root=$2 output=$3 lib target soname work
    lib=$root/usr/lib/$(triplet "$arch")
    case $arch in amd64) target=X86 ;; arm64) target=AArch64 ;; esac
    work=$(mktemp -d)
    # Taken apart by hand: the host's nm and readelf need not know the architecture, but read every ELF file.
    soname=$(readelf -d "$lib/libwasmedge.so.0" | sed -n 's/.*(NEEDED).*\[\(libLLVM.*\)\]/\1/p')
    nm -D --undefined-only "$lib/libwasmedge.so.0" | awk '{ print $2 }' | grep '@LLVM' | sort -u >"$work/versioned"
    sed 's/@.*//' "$work/versioned" >"$work/needed"
    grep '^LLVMInitialize' "$work/needed" | grep -vE "^LLVMInitialize($target|Core|Native)" >"$work/others" || true
    grep -vxFf "$work/others" "$work/needed" | sed 's/^/--undefined=/' >"$work/arguments"
    sed "s/.*/--defsym=&=LLVMInitialize${target}TargetInfo/" "$work/others" >>"$work/arguments"
    {
        printf '%s {\nglobal:\n' "$(sed 's/.*@//' "$work/versioned" | sort -u)"
        sed 's/$/;/' "$work/needed"
        printf 'local: *;\n};\n'
    } >"$work/versions"
    "$(lld)" -shared -soname "$soname" --version-script "$work/versions" --gc-sections -O2 -z defs -z now -z relro \
        --build-id=sha1 --hash-style=gnu --strip-all --as-needed "@$work/arguments" \
        --defsym=_Z18getPollyPluginInfov=_ZN4llvm25llvm_unreachable_internalEPKcS1_j \
        --start-lib "$root"/usr/lib/llvm-*/lib/*.a --end-lib \
        "$lib"/{libstdc++.so.6,libm.so.6,libz.so.1,libzstd.so.1,libgcc_s.so.1,libc.so.6,libc_nonshared.a} \
        "$("$(compiler "$arch")" -print-libgcc-file-name)" "$(linker_of "$root" "$arch")" -o "$output"
    rm -rf "$work"
}

# The linker that comes with Rust, which knows all architectures.
lld() {
    printf '%s/lib/rustlib/%s/bin/gcc-ld/ld.lld' "$(rustc --print sysroot)" "$(rustc -vV | sed -n 's/^host: //p')"
}

# The C compiler, whose libgcc.a has arm64's atomics.
compiler() {
    if [ "$1" = "$(dpkg --print-architecture)" ]; then printf gcc; else printf '%s-gcc' "$(triplet "$1")"; fi
}

# The dynamic linker among the packages.
linker_of() {
    case $2 in
    amd64) printf '%s/usr/lib64/ld-linux-x86-64.so.2' "$1" ;;
    arm64) printf '%s/usr/lib/ld-linux-aarch64.so.1' "$1" ;;
    esac
}

triplet() {
    case $1 in
    amd64) printf x86_64-linux-gnu ;;
    arm64) printf aarch64-linux-gnu ;;
    esac
}

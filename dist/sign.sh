# shellcheck shell=bash
# Signatures, where DIST_KEY names a private key (PEM, EC P-256: openssl ecparam -name prime256v1 -genkey -noout). They are what
# `cosign verify-blob --key PUBLIC --signature FILE.sig --insecure-ignore-tlog FILE` verifies, and openssl dgst -verify after base64 -d.

signature() { openssl dgst -sha256 -sign "$DIST_KEY" | base64 -w 0; }

# sign OUT ARCH: the sums, and where the files come from.
sign() {
    local out=$1 arch=$2 statement
    [ -r "$DIST_KEY" ] || die "there is no key $DIST_KEY (DIST_KEY)"
    statement=$("$tools" provenance "$(packages_dir "$arch")" "$arch" "$(rust_target "$arch")" "$out/SHA256SUMS" \
        "$(git -C "$repo" rev-parse HEAD)")
    signature <"$out/SHA256SUMS" >"$out/SHA256SUMS.sig"
    "$tools" envelope "$(base64 -w 0 <<<"$statement")" "$("$tools" to-sign "$statement"$'\n' | signature)" \
        >"$out/provenance.intoto.json"
}

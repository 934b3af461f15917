# A module for NixOS: put it beside the released archive, and name it in `imports`. It needs containerd 2 with the module
# `virtualisation.containerd` of nixpkgs, which adds these settings to the configuration that it writes.
{ pkgs, ... }:
let
  shim = pkgs.stdenvNoCC.mkDerivation {
    pname = "containerd-shim-wasmedge-v1";
    version = "0.1.0";
    src = ./containerd-shim-wasmedge-v1-linux-amd64.tar.gz;
    sourceRoot = ".";
    installPhase = "install -D -m 755 containerd-shim-wasmedge-v1 $out/bin/containerd-shim-wasmedge-v1";
    # The engine is behind the end of what strip and patchelf know of the file.
    dontFixup = true;
  };
in
{
  virtualisation.containerd.enable = true;
  virtualisation.containerd.settings.plugins."io.containerd.grpc.v1.cri".containerd.runtimes.wasmedge = {
    runtime_type = "${shim}/bin/containerd-shim-wasmedge-v1";
    pod_annotations = [ "io.wasmedge.*" "module.wasm.image/*" ];
    options = {
      SystemdCgroup = true;
      annotations = "spec";
    };
  };
}

# shellcheck shell=bash
# The cluster's programs, each built from Go modules, which name their versions: modules/NAME/go.mod.

modules=$repo/test/kubernetes/modules

# version_of NAME MODULE: without the v.
version_of() { awk -v module="$2" '$1 == "require" { $1 = $2; $2 = $3 } $1 == module { sub("v", "", $2); print $2; exit }' "$modules/$1/go.mod"; }

kubernetes_version=$(version_of kube k8s.io/kubernetes)

# Programs that are kube by other names.
kube_names=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)

ensure_programs() {
    local version=$kubernetes_version package=k8s.io/component-base/version
    # Without tracing of gRPC and test helpers the linker finds more that nobody calls.
    ensure_go_tool kube "$modules/kube" . "$(printf -- "-X $package.%s " \
        "gitVersion=v$version" gitMajor="${version%%.*}" gitMinor="$(cut -d. -f2 <<<"$version")" gitTreeState=clean)" \
        grpcnotrace,notest
    ensure_go_tool etcd "$modules/etcd" go.etcd.io/etcd/server/v3
    ensure_go_tool coredns "$modules/coredns" github.com/coredns/coredns
    ensure_go_tool metrics-server "$modules/metrics-server" sigs.k8s.io/metrics-server/cmd/metrics-server
}

# Kubernetes' own tests, what runs them, and what most of their pods run.
ensure_conformance_programs() {
    ensure_go_test e2e.test "$modules/kube" k8s.io/kubernetes/test/e2e
    ensure_go_tool ginkgo "$modules/kube" github.com/onsi/ginkgo/v2/ginkgo
    ensure_go_tool agnhost "$modules/kube" k8s.io/kubernetes/test/images/agnhost
}

# install_programs PID: into the running node's /usr/local/bin, where they differ.
install_programs() {
    local bin=/proc/$1/root/usr/local/bin name
    for name in kube etcd coredns metrics-server; do
        cmp -s "$(go_tool_path "$name" "$modules/$name")" "$bin/$name" && continue
        cp "$(go_tool_path "$name" "$modules/$name")" "$bin/$name.new"
        mv "$bin/$name.new" "$bin/$name"
    done
    for name in "${kube_names[@]}"; do
        ln -sf kube "$bin/$name"
    done
}

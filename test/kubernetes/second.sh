# shellcheck shell=bash
# A second node of the cluster: a test node beside the first, joined to it by a veth pair. Only pods that tolerate the taint `second` come
# to it, so that the other tests have a cluster of one.

second=$NODE-second

second_up() {
    local first_pid second_pid
    # One that a run which was broken off has left has lost its place.
    ! node_pid "$second" >/dev/null || "$node" down "$second"
    NODE_SKIP_BUILD=1 "$node" up "$second"
    first_pid=$(node_pid "$NODE") second_pid=$(node_pid "$second")
    install_programs "$second_pid"
    "$node" exec -n "$second" test/e2e/load-images target/images
    ip link add second netns "$first_pid" type veth peer name first netns "$second_pid"
    second_keys "/proc/$first_pid/root" "/proc/$second_pid/root"
    "$node" exec test/kubernetes/cluster link
    step target/kubernetes.log "cluster: second node" "$node" exec -n "$second" test/kubernetes/cluster join
    "$node" exec kubectl wait --for=create --timeout=60s "node/wasmedge-$second" >/dev/null
    "$node" exec kubectl wait --for=condition=Ready --timeout=60s "node/wasmedge-$second" >/dev/null
}

# second_keys ROOT ROOT: what a node must have of the first one's: the authority, its kubelet's token and kube-proxy's.
second_keys() {
    local from=$1/dev/shm/cluster to=$2/dev/shm/cluster
    install -d -m 700 "$to"
    cp "$from/ca.crt" "$from/proxy.conf" "$to"
    cp "$from/second.conf" "$to/kubelet.conf"
}

# Fails if pods have left anything on it.
second_down() {
    local code=0
    step target/kubernetes.log "second node: nothing is left of pods" "$node" exec -n "$second" test/kubernetes/cluster empty || code=1
    "$node" exec kubectl delete node "wasmedge-$second" >/dev/null
    "$node" down "$second" || code=1
    return $code
}

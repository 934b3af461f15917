# A node image for kind, from one of kind's own (NODE) and the released archive. It needs BuildKit, and containerd 2 in the image.
#   docker build --build-arg NODE=IMAGE --tag kind-wasmedge --file deploy/node-images/kind.Dockerfile target/dist
#   kind create cluster --image kind-wasmedge && kubectl apply -f deploy/kubernetes/runtimeclass.yaml
ARG NODE
FROM ${NODE}
ARG TARGETARCH
ADD containerd-shim-wasmedge-v1-linux-${TARGETARCH}.tar.gz /root/shim/
RUN /root/shim/containerd-shim-wasmedge-v1 install --runtime=containerd && rm -r /root/shim

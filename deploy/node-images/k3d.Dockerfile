# A node image for k3d, from one of k3s' own (K3S) and the released archive. It needs BuildKit. k3s finds the program in its PATH
# when it starts, makes the handler, and has a RuntimeClass wasmedge.
#   docker build --build-arg K3S=IMAGE --tag k3s-wasmedge --file deploy/node-images/k3d.Dockerfile target/dist
#   k3d cluster create --image k3s-wasmedge
ARG K3S
FROM ${K3S}
ARG TARGETARCH
ADD containerd-shim-wasmedge-v1-linux-${TARGETARCH}.tar.gz /bin/

# The Docker log driver for amd64, arm64 and others, without anything on this machine
# but Docker. It is no image to be run: what comes out are files (BuildKit's -o).
#
#   docker build --target plugin -o .cache/plugin .            for this architecture, as make plugin does
#   docker build --target plugin -o .cache/plugin-arm64 --platform linux/arm64 .
#   docker plugin create azureblob .cache/plugin
#
# Without --target it is the plugin's rootfs alone: the program and the certificate
# authorities it trusts. --build-arg VERSION=$(git describe --tags --always) is what
# the program says of itself.

FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
COPY core core
COPY dockerdriver dockerdriver
ARG TARGETOS TARGETARCH VERSION=unknown
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
        -ldflags "-s -w -X main.version=$VERSION" -o /azureblob-docker ./dockerdriver

FROM scratch AS rootfs
COPY --from=build /azureblob-docker /
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/

FROM scratch AS plugin
COPY conf/docker-plugin/config.json /
COPY --from=rootfs / /rootfs

FROM rootfs

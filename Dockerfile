# The Docker log driver and the Fluent Bit output for amd64, arm64 and others, without
# anything on this machine but Docker. --build-arg VERSION=$(git describe --tags --always)
# is what they say of themselves.
#
# The Docker log driver is no image to be run: what comes out are files (BuildKit's -o).
#
#   docker build --target plugin -o .cache/plugin .            for this architecture, as make plugin does
#   docker build --target plugin -o .cache/plugin-arm64 --platform linux/arm64 .
#   docker plugin create azureblob .cache/plugin
#
# Without --target it is the plugin's rootfs alone: the program and the certificate
# authorities it trusts.
#
# The Fluent Bit output, as a file, and as Fluent Bit's own image with it inside:
#
#   docker build --target fluentbit -o bin .                   bin/out_azureblob.so
#   docker build --target fluent-bit-image -t fluent-bit-azureblob .
#   docker run -v $PWD/fluent-bit.conf:/fluent-bit/etc/fluent-bit.conf … fluent-bit-azureblob
#
# --build-arg FLUENT_BIT=fluent/fluent-bit:5.0.9 is another version, and …-debug one
# with a shell.

ARG FLUENT_BIT=fluent/fluent-bit:5.1.1

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

# A library wants a C library as new as the one that it was linked to, so this is an old
# one, Debian 11's. What comes of it asks for glibc 2.3.2 on amd64, and runs wherever
# Fluent Bit does but with musl. Go's own images are not made for Debian 11 any more;
# this one has gcc, and needs no package archive. It is of the library's architecture,
# not this machine's, for it takes that one's C compiler: another one is emulated, which
# takes some minutes.
FROM buildpack-deps:bullseye AS build-fluentbit
COPY --from=golang:1.26 /usr/local/go /usr/local/go
WORKDIR /src
COPY go.mod go.sum ./
COPY core core
COPY fluentbit fluentbit
ARG VERSION=unknown
RUN --mount=type=cache,target=/root/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=1 /usr/local/go/bin/go build -buildmode=c-shared -trimpath -buildvcs=false \
        -ldflags "-s -w -X main.version=$VERSION" -o /out/out_azureblob.so ./fluentbit

FROM scratch AS fluentbit
COPY --from=build-fluentbit /out/out_azureblob.so /

FROM $FLUENT_BIT AS fluent-bit-image
COPY --from=fluentbit /out_azureblob.so /fluent-bit/plugins/
COPY conf/fluentbit/plugins.conf /fluent-bit/etc/

FROM rootfs

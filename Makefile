# Every target sets up what it needs in .cache and bin, and says what it installs
# before it does. The tests find the emulator through the variables below; here it
# is never left out silently.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

AZURITE := .cache/azurite
AZURITE_BLOB := $(CURDIR)/$(AZURITE)/node_modules/.bin/azurite-blob
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

FUZZTIME ?= 20s
BENCH ?= .
PLUGIN := .cache/plugin
PLUGIN_NAME ?= azureblob
CA_CERTIFICATES ?= /etc/ssl/certs/ca-certificates.crt

# DOCKERD=0 leaves out the tests on a real Docker engine, which need root.
DOCKERD ?= 1

# The variables go with the commands that read them, so that a plain go test of
# one package stays what it is.
test_env := AZUREBLOB_TEST_AZURITE='$(AZURITE_BLOB)' AZUREBLOB_TEST_REQUIRE_AZURITE=1 AZUREBLOB_TEST_DOCKERD='$(DOCKERD)'
go_build := go build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)'
go_test := go test -count=1 -timeout 20m

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: go ## bin/azureblob: static, stripped
	CGO_ENABLED=0 $(go_build) -o bin/azureblob ./core/cmd/azureblob

# It needs the C library of the machine that it is built on, or a later one; the
# Dockerfile's target of the same name builds it for old ones.
.PHONY: fluentbit
fluentbit: go gcc ## bin/out_azureblob.so: the Fluent Bit output
	CGO_ENABLED=1 $(go_build) -buildmode=c-shared -o bin/out_azureblob.so ./fluentbit
	@rm bin/out_azureblob.h # cgo's, for C that links the library

# A folder for "docker plugin create". For another architecture, set GOARCH.
.PHONY: plugin
plugin: go ## the Docker log driver as a managed plugin, in .cache/plugin
	@[[ -s '$(CA_CERTIFICATES)' ]] || { echo 'plugin: $(CA_CERTIFICATES) is missing, the authorities that the plugin is to trust. Debian has it in ca-certificates; elsewhere, name it: make plugin CA_CERTIFICATES=/etc/pki/tls/certs/ca-bundle.crt' >&2; exit 1; }
	rm -rf '$(PLUGIN)/rootfs'
	CGO_ENABLED=0 GOOS=linux $(go_build) -o '$(PLUGIN)/rootfs/azureblob-docker' ./dockerdriver
	install -D -m 644 '$(CA_CERTIFICATES)' '$(PLUGIN)/rootfs/etc/ssl/certs/ca-certificates.crt'
	install -m 644 conf/docker-plugin/config.json '$(PLUGIN)/config.json'

.PHONY: plugin-install
plugin-install: plugin ## install and enable it, with this environment's AZURE_… and AZUREBLOB_…
	@.ci/docker/plugin-install '$(PLUGIN)' '$(PLUGIN_NAME)'

.PHONY: plugin-push
plugin-push: plugin ## push it to a registry: PLUGIN_NAME=REGISTRY/NAME:TAG
	@[[ '$(PLUGIN_NAME)' == */* ]] || { echo 'plugin-push: say where to: make plugin-push PLUGIN_NAME=REGISTRY/NAME:TAG' >&2; exit 1; }
	docker plugin create '$(PLUGIN_NAME)' '$(PLUGIN)'
	status=0; docker plugin push '$(PLUGIN_NAME)' || status=$$?; docker plugin rm -f '$(PLUGIN_NAME)'; exit "$$status"

# The last line of output is go test's own, which says whether all of it passed.
# Tests that the race detector makes too slow are reduced under it, and run whole
# in the second pass.
.PHONY: test
test: check azurite docker ## vet, gofmt, and all tests, against stand-ins, Azurite and Docker, with the race detector and without
	@command -v "$${FLUENT_BIT:-fluent-bit}" >/dev/null || echo '==== NOT TESTED WITH A REAL FLUENT BIT: there is none on PATH, and FLUENT_BIT names none ===='
	$(test_env) $(go_test) -race ./... ./.ci/bench
	$(test_env) $(go_test) $$(go list ./... | grep -v -e 'dockerdriver$$' -e dockertest)

.PHONY: test-azure
test-azure: check azurite ## the tests against a real account too: set AZURE_STORAGE_CONNECTION_STRING
	@[[ -n "$${AZURE_STORAGE_CONNECTION_STRING:-}" ]] || { echo 'AZURE_STORAGE_CONNECTION_STRING is not set: copy it from the account (az storage account show-connection-string). A container with a random name is made in it, and deleted at the end.' >&2; exit 1; }
	AZUREBLOB_TEST_AZURE=1 $(test_env) $(go_test) ./core/...

.PHONY: check
check: go gcc
	go vet ./... ./.ci/bench
	@files=$$(find . -name .cache -prune -o -name '*.go' -exec gofmt -l {} +); [[ -z "$$files" ]] || { echo "not formatted, run gofmt -w on:"; echo "$$files"; exit 1; } >&2

.PHONY: bench
bench: go azurite docker ## beside its peers, what is asked and whether it holds: core/BENCHMARKS.md; BENCH=pattern picks rows
	$(test_env) go run ./.ci/bench -bench '$(BENCH)'

.PHONY: soak
soak: go ## a hundred thousand short containers through the log driver, watching what they leave behind
	AZUREBLOB_TEST_SOAK=100000 $(go_test) -timeout 3h -v -run TestShortContainers ./dockerdriver

.PHONY: fuzz
fuzz: go ## each fuzz target for FUZZTIME, 20s if it is not given
	@go list ./... | while read -r pkg; do \
		go test -list '^Fuzz' "$$pkg" | { grep '^Fuzz' || true; } | while read -r target; do \
			echo "== $$pkg $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime '$(FUZZTIME)' -fuzzminimizetime 1x "$$pkg" </dev/null; \
		done; \
	done

.PHONY: demo
demo: build plugin azurite ## watch a container's log grow in a blob (Azurite and Docker, on this machine)
	@.ci/demo bin/azureblob '$(AZURITE_BLOB)' '$(PLUGIN)'

.PHONY: demo-pipe
demo-pipe: build azurite ## the same without Docker: a build's log by azureblob pipe
	@.ci/demo-pipe bin/azureblob '$(AZURITE_BLOB)'

.PHONY: clean
clean: ## remove what make installed and built
	rm -rf bin .cache

.PHONY: azurite
azurite: $(AZURITE)/installed

$(AZURITE)/installed: .ci/azurite/install .ci/azurite/package.json .ci/azurite/package-lock.json
	@.ci/azurite/install $(AZURITE)

.PHONY: docker
docker:
	@[[ '$(DOCKERD)' != 1 ]] || .ci/docker/install

.PHONY: go
go:
	@command -v go >/dev/null || { echo 'go is missing: install Go 1.26 or later, https://go.dev/doc/install' >&2; exit 1; }

.PHONY: gcc
gcc:
	@command -v gcc >/dev/null || { echo 'gcc is missing, which the race detector and the Fluent Bit output need. As root: apt-get install -y gcc libc6-dev' >&2; exit 1; }

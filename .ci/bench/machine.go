package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// stamp is this version and now.
func stamp() string {
	return time.Now().UTC().Format("2006-01-02 15:04 UTC") + ", version " + version("git", "describe", "--tags", "--always", "--dirty")
}

// about names what the figures were measured on and with: a line each for the machine
// and the versions.
func about() []string {
	return []string{
		fmt.Sprintf("%s, %d cores, %s of memory, Linux %s", cpu(), runtime.NumCPU(), memory(), content("/proc/sys/kernel/osrelease")),
		fmt.Sprintf("%s, azblob %s", runtime.Version(),
			version("go", "list", "-m", "-f", "{{.Version}}", "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob")),
		fmt.Sprintf("dockerd %s, Fluent Bit %s, gzip %s, zstd %s", number(version("dockerd", "--version")),
			number(version(fluentBit(), "--version")), number(version("gzip", "--version")), number(version("zstd", "--version"))),
	}
}

func fluentBit() string {
	if path := os.Getenv("FLUENT_BIT"); path != "" {
		return path
	}
	return "fluent-bit"
}

// version is the first line that a program prints, or "none" where there is no such
// program.
func version(program string, args ...string) string {
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		return "none"
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(first)
}

var versionNumber = regexp.MustCompile(`\d+(\.\d+)+[^\s,]*`)

// number is the version's number in a line such as "Docker version 20.10.24, build 297e128".
func number(line string) string {
	if n := versionNumber.FindString(line); n != "" {
		return n
	}
	return line
}

func cpu() string {
	for line := range strings.Lines(content("/proc/cpuinfo")) {
		if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(model)
		}
	}
	return runtime.GOARCH
}

func memory() string {
	for line := range strings.Lines(content("/proc/meminfo")) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "MemTotal:" {
			if kib, err := strconv.ParseFloat(f[1], 64); err == nil {
				return fmt.Sprintf("%.1f GiB", kib/(1<<20))
			}
		}
	}
	return "an unknown amount"
}

func content(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}

package flbtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process takes.
type Usage struct {
	RSS, PeakRSS int64         // bytes
	CPU          time.Duration // user and system, since its start
	FDs, Threads int
}

func (u Usage) String() string {
	return fmt.Sprintf("RSS %.1f MiB (peak %.1f), CPU %v, %d fds, %d threads",
		float64(u.RSS)/(1<<20), float64(u.PeakRSS)/(1<<20), u.CPU, u.FDs, u.Threads)
}

// UsageOf reads /proc.
func UsageOf(pid int) (Usage, error) {
	var u Usage
	status, err1 := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	stat, err2 := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fds, err3 := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err := errors.Join(err1, err2, err3); err != nil {
		return u, err
	}
	u.FDs = len(fds)
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch key {
		case "VmRSS":
			u.RSS = n << 10
		case "VmHWM":
			u.PeakRSS = n << 10
		case "Threads":
			u.Threads = int(n)
		}
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from the third on
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	u.CPU = time.Duration(user+system) * (time.Second / 100) // USER_HZ is 100 everywhere
	return u, errors.Join(err1, err2)
}

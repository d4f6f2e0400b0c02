package main

import (
	"time"

	"github.com/spf13/pflag"

	"github.com/liveblob/azureblob/core"
)

// duration is a flag that takes what duration options take: 500ms, 1s, 10m, 1d,
// and plain seconds.
type duration struct{ d *time.Duration }

func (v duration) String() string { return v.d.String() }
func (v duration) Type() string   { return "DURATION" }
func (v duration) Set(s string) (err error) {
	*v.d, err = core.ParseDuration(s)
	return err
}

func durationVar(f *pflag.FlagSet, d *time.Duration, name string, value time.Duration, usage string) {
	*d = value
	f.Var(duration{d}, name, usage)
}

func notNegative(flag string, d time.Duration) error {
	if d < 0 {
		return usagef("--%s %v: write a time of 0 or more", flag, d)
	}
	return nil
}

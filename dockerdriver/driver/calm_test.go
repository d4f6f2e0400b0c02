package driver

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := newCalm(slog.New(slog.NewTextHandler(&out, nil)))
		for range 200 {
			log.With("container", "web").Warn("storage is away")
		}
		log.Info("storage is back")
		if n := strings.Count(out.String(), "\n"); n != 2 {
			t.Errorf("%d lines are said: %s", n, out.String())
		}
		time.Sleep(calmFor)
		out.Reset()
		log.Warn("storage is away")
		if !strings.Contains(out.String(), "before_from_others=199") {
			t.Errorf("the others are not counted: %s", out.String())
		}
	})
}

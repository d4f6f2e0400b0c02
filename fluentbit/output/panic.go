package output

import (
	"fmt"
	"runtime"
	"strings"
)

// Panic is a panic that was recovered from, as an error of one line with the innermost
// calls. It must be called by the function that is deferred.
func Panic(recovered any) error {
	const most = 6
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	var calls []string
	for panicked := false; len(calls) < most; {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			panicked = true
			calls = nil
		case panicked && !strings.HasPrefix(f.Function, "runtime."):
			calls = append(calls, fmt.Sprintf("%s:%d", f.Function[strings.LastIndex(f.Function, "/")+1:], f.Line))
		}
		if !more {
			break
		}
	}
	what := strings.Join(strings.Fields(fmt.Sprint(recovered)), " ")
	return fmt.Errorf("panic, please report it: %s at %s", what, strings.Join(calls, " < "))
}

package main

// #include "plugin.h"
//
// // Symbols are bound when the library is loaded: doing that at the first flush takes
// // ten times the stack of the flush itself.
// #cgo LDFLAGS: -Wl,-z,now
import "C"

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"unsafe"

	flb "github.com/fluent/fluent-bit-go/output"
	"golang.org/x/sys/unix"

	"github.com/liveblob/azureblob/fluentbit/output"
)

var version = "unknown" // set when it is built

// logger is what the whole library writes to.
var logger = slog.New(newLogHandler(stderr{}))

func main() {} // a shared library has one, and never calls it

//export azureblobRegister
func azureblobRegister(def unsafe.Pointer) C.int {
	if err := open(); err != nil {
		logger.Error(err.Error())
		return -1
	}
	return C.int(flb.FLBPluginRegister(def, "azureblob", "Azure Blob Storage, live ("+version+")"))
}

//export azureblobUnregister
func azureblobUnregister(def unsafe.Pointer) { flb.FLBPluginUnregister(def) }

//export azureblobInit
func azureblobInit(plugin unsafe.Pointer) C.int {
	in := start(logger, func(name string) string { return flb.FLBPluginConfigKey(plugin, name) })
	if in == nil {
		return flb.FLB_ERROR
	}
	flb.FLBPluginSetContext(plugin, in)
	return flb.FLB_OK
}

//export azureblobExit
func azureblobExit(context unsafe.Pointer) C.int {
	if in := instanceOf(context); in != nil { // nil: Init has failed
		in.stop()
	}
	return flb.FLB_OK
}

func instanceOf(context unsafe.Pointer) *instance {
	in, _ := flb.FLBPluginGetContext(context).(*instance)
	return in
}

// open opens the pipe for flushes, once in the life of the process.
var open = sync.OnceValue(func() error {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("open a pipe for flushes: %w", err)
	}
	// The reader waits in the runtime's poller, which holds no thread; the writers are
	// Fluent Bit's threads, and wait as they are used to.
	if err := unix.SetNonblock(ends[0], true); err != nil {
		return fmt.Errorf("open a pipe for flushes: %w", err)
	}
	C.azureblob_pipe = C.int(ends[1])
	go serve(os.NewFile(uintptr(ends[0]), "flushes"))
	return nil
})

// serve answers each flush that comes through the pipe in a goroutine of its own.
func serve(pipe io.ReadCloser) {
	defer pipe.Close() // then a flush is told that nobody reads it
	for {
		var f *C.struct_azureblob_flush
		if _, err := io.ReadFull(pipe, unsafe.Slice((*byte)(unsafe.Pointer(&f)), unsafe.Sizeof(f))); err != nil {
			logger.Error("no flush can be taken any more", "err", err)
			return
		}
		go func() {
			C.azureblob_answer(f, answer(instanceOf(f.instance), C.GoString(f.tag), unsafe.Slice((*byte)(f.data), f.size)))
		}()
	}
}

// answer flushes, and says how that went in Fluent Bit's words.
func answer(in *instance, tag string, chunk []byte) C.int {
	if in == nil {
		logger.Error("a flush came for an output that was never started")
		return flb.FLB_RETRY
	}
	switch in.flush(tag, chunk) {
	case output.OK:
		return flb.FLB_OK
	case output.Error:
		return flb.FLB_ERROR
	default:
		return flb.FLB_RETRY
	}
}

// stderr is Fluent Bit's own. It is not os.Stderr, which ends the process when nobody
// reads it any more.
type stderr struct{}

func (stderr) Write(p []byte) (int, error) {
	for {
		n, err := unix.Write(2, p)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

package spool

import (
	"io"
	"syscall"
	"unsafe"
)

// pwritev writes all of iov at off: with one call, unless the kernel takes only a
// part, as it does when the disk becomes full. It changes iov. A record's header and
// its data go out together this way without being copied into one buffer first.
func pwritev(fd uintptr, iov []syscall.Iovec, off int64) error {
	for len(iov) > 0 {
		n, _, errno := syscall.Syscall6(syscall.SYS_PWRITEV, fd,
			uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)), uintptr(off), 0, 0)
		switch {
		case errno == syscall.EINTR:
			continue
		case errno != 0:
			return errno
		case n == 0:
			return io.ErrShortWrite
		}
		off += int64(n)
		for len(iov) > 0 && n >= uintptr(iov[0].Len) {
			n -= uintptr(iov[0].Len)
			iov = iov[1:]
		}
		if n > 0 {
			iov[0].Base = (*byte)(unsafe.Add(unsafe.Pointer(iov[0].Base), n))
			iov[0].SetLen(int(uintptr(iov[0].Len) - n))
		}
	}
	return nil
}

func setIovec(v *syscall.Iovec, p []byte) {
	v.Base = unsafe.SliceData(p)
	v.SetLen(len(p))
}

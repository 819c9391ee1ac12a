//go:build unix

package member

import (
	"errors"
	"os"
	"syscall"
)

// tryLock locks a file for this process as long as it is open. The error is [ErrInUse] if another process has it.
func tryLock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrInUse
	}
	return err
}

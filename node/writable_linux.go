package node

import "golang.org/x/sys/unix"

// canWrite tells why this process may not make files in a directory.
func canWrite(dir string) error {
	return unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
}

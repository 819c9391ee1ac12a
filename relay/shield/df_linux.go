package shield

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// decoy is a socket that nothing is sent through. quic-go asks a net.PacketConn for one to set don't-fragment, and only if that works does it
// look for the largest packet that gets through: without that its packets never outgrow quic.Config.InitialPacketSize, and its pacer
// reckons with 1,280 bytes whatever they are, which makes it spin where packets are larger. The real socket has its options already.
type decoy struct{ file *os.File }

func newDecoy() (*decoy, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("shield: socket: %w", err)
	}
	return &decoy{os.NewFile(uintptr(fd), "shield")}, nil
}

// SyscallConn gives quic-go a socket to set options of that matters to nobody.
func (d *decoy) SyscallConn() (syscall.RawConn, error) { return d.file.SyscallConn() }

// Close closes the socket.
func (d *decoy) Close() error { return d.file.Close() }

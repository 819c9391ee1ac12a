//go:build !linux

package shield

// decoy is for Linux: see there. Elsewhere quic.Config.InitialPacketSize says how large packets are.
type decoy struct{}

func newDecoy() (*decoy, error) { return &decoy{}, nil }

// Close does nothing.
func (*decoy) Close() error { return nil }

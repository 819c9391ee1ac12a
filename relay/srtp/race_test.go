//go:build race

package srtp

// The race detector makes sync.Pool drop entries at random.
func init() { poolDrops = true }

package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"cardea/relay/link/wire"
)

const (
	maxHello    = 16 << 10 // bytes
	maxFeatures = 64
	maxFeature  = 64 // bytes, and of a version
	// maxGeneration keeps generations far from wrapping, whatever a member says.
	maxGeneration = 1 << 62
)

// hello is what both ends say first on a connection's first stream, the dialler before the other.
type hello struct {
	Version  string   `pb:"1"`
	Features []string `pb:"2"`
	// Instance tells one run of a node from its next.
	Instance uint64 `pb:"3"`
	// Last is the generation of the latest link that the dialler knows of between the two. A dialler that does not know of the
	// present one dialled before it came to be: the two dialled each other at once.
	Last uint64 `pb:"4"`
	// Carrier is, in place of Last, the generation of the link that the connection is to help out.
	Carrier uint64 `pb:"5"`
	// Generation is the new link's, in the answer.
	Generation uint64 `pb:"6"`
	// Refused is why there is no link, in the answer; 0 if there is.
	Refused uint32 `pb:"7"`
}

var errHello = errors.New("hello out of bounds")

// readHello reads one hello.
func readHello(r io.Reader) (*hello, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, fmt.Errorf("read hello: %w", err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxHello {
		return nil, fmt.Errorf("%w: %d bytes", errHello, n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("read hello: %w", err)
	}
	return parseHello(b)
}

func parseHello(b []byte) (*hello, error) {
	h := new(hello)
	if err := wire.Unmarshal(b, h); err != nil {
		return nil, fmt.Errorf("read hello: %w", err)
	}
	tooLong := func(f string) bool { return len(f) > maxFeature }
	if len(h.Features) > maxFeatures || slices.ContainsFunc(h.Features, tooLong) || tooLong(h.Version) ||
		max(h.Last, h.Generation, h.Carrier) > maxGeneration {
		return nil, errHello
	}
	return h, nil
}

// bytes returns the hello as it goes out.
func (h *hello) bytes() []byte {
	m := wire.Marshal(h)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(m))), m...) //nolint:gosec // far below
}

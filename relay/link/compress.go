package link

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// encoding says how a message's bytes were made smaller.
type encoding uint8

const (
	plain encoding = iota
	zstandard
)

// leastCompressed is where trying begins to pay: below it zstd's own bytes and the time are more than what is saved.
const leastCompressed = 512

var errEncoding = errors.New("message does not unpack to what it says")

// compressor is safe for concurrent use.
type compressor struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCompressor() (*compressor, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2), zstd.WithLowerEncoderMem(true),
		zstd.WithEncoderCRC(false)) // QUIC has checked what arrives
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(MaxCall), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return &compressor{enc, dec}, nil
}

func (c *compressor) close() {
	_ = c.enc.Close()
	c.dec.Close()
}

// pack returns b as it goes out: compressed if that saves an eighth.
func (c *compressor) pack(b []byte) ([]byte, encoding) {
	if len(b) < leastCompressed {
		return b, plain
	}
	if z := c.enc.EncodeAll(b, make([]byte, 0, len(b)/2)); len(z) <= len(b)-len(b)/8 {
		return z, zstandard
	}
	return b, plain
}

// unpack returns the message of size bytes that b was made of. It never takes more memory than that.
func (c *compressor) unpack(b []byte, e encoding, size int) ([]byte, error) {
	switch e {
	case plain:
		if len(b) != size {
			return nil, errEncoding
		}
		return b, nil
	case zstandard:
		out, err := c.dec.DecodeAll(b, make([]byte, 0, size))
		if err != nil || len(out) != size {
			return nil, fmt.Errorf("%w: %d bytes of %d: %w", errEncoding, len(out), size, err)
		}
		return out, nil
	}
	return nil, fmt.Errorf("%w: encoding %d", errEncoding, e)
}

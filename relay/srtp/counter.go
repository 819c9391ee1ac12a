package srtp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"crypto/subtle"
	"encoding"
	"encoding/binary"
	"fmt"
	"hash"
	"sync"
)

// counterMode is AES in counter mode with HMAC-SHA1 (RFC 3711 sections 4.1.1 and 4.2.1). Set once, safe for concurrent use.
//
// The standard library's counter mode and HMAC would have to be made for every packet or kept for every sender. Here
// the cipher is shared, the keystream is made block by block, and HMAC starts from the saved states of the hash after
// its two pads.
type counterMode struct {
	block        cipher.Block
	high, low    uint64 // session salt << 16
	inner, outer []byte // states of SHA-1 behind the inner and outer pad of HMAC
	tagLen       int
}

const (
	hmacInnerPad = 0x36
	hmacOuterPad = 0x5c
	keystreamLen = 32 * aes.BlockSize
)

func newCounterMode(block cipher.Block, salt, auth []byte, tagLen int) (*counterMode, error) {
	var iv [aes.BlockSize]byte
	copy(iv[:cmSaltLen], salt)
	c := &counterMode{
		block:  block,
		high:   binary.BigEndian.Uint64(iv[:]),
		low:    binary.BigEndian.Uint64(iv[8:]),
		tagLen: tagLen,
	}
	var err error
	if c.inner, err = padState(auth, hmacInnerPad); err != nil {
		return nil, err
	}
	if c.outer, err = padState(auth, hmacOuterPad); err != nil {
		return nil, err
	}
	return c, nil
}

// padState returns the state of SHA-1 after one block of the key, which is shorter than that, xored with pad.
func padState(key []byte, pad byte) ([]byte, error) {
	var block [sha1.BlockSize]byte
	copy(block[:], key)
	for i := range block {
		block[i] ^= pad
	}
	h := sha1.New()
	h.Write(block[:])
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("srtp: saving the state of SHA-1: %w", err)
	}
	return state, nil
}

// scratch is what protecting one packet needs besides the packet. It is on the heap, and pooled, because whatever is
// handed to a cipher or hash through its interface goes there.
type scratch struct {
	hash      hash.Hash
	state     encoding.BinaryUnmarshaler // of hash
	sum       [sha1.Size]byte
	suffix    [4]byte // authenticated behind the packet
	nonce     [gcmSaltLen]byte
	aad       [12]byte
	keystream [keystreamLen]byte
}

var scratches = sync.Pool{New: func() any {
	h := sha1.New()
	return &scratch{hash: h, state: h.(encoding.BinaryUnmarshaler)}
}}

// xor encrypts or decrypts src to dst, which may be the same, as the packet of ssrc with the given index.
func (c *counterMode) xor(s *scratch, dst, src []byte, ssrc uint32, index uint64) {
	// The initial counter is salt << 16 ^ SSRC << 64 ^ index << 16 (RFC 3711 section 4.1.1).
	high := c.high ^ uint64(ssrc)
	low := c.low ^ index<<16
	for len(src) > 0 {
		n := min(len(src), keystreamLen)
		blocks := s.keystream[:(n+aes.BlockSize-1)&^(aes.BlockSize-1)]
		// All counters first, then all encryptions: a counter encrypted right after its two halves were stored stalls
		// the load of the whole, which doubles the time (1.4 us against 0.8 for 1,200 bytes).
		for i := 0; i < len(blocks); i += aes.BlockSize {
			binary.BigEndian.PutUint64(blocks[i:], high)
			binary.BigEndian.PutUint64(blocks[i+8:], low)
			low++ // only its last 16 bits count blocks, and 65,536 blocks do not fit a packet
		}
		for i := 0; i < len(blocks); i += aes.BlockSize {
			block := blocks[i : i+aes.BlockSize : i+aes.BlockSize]
			c.block.Encrypt(block, block)
		}
		subtle.XORBytes(dst, src[:n], blocks)
		dst, src = dst[n:], src[n:]
	}
}

// tag returns the authentication tag of packet and the suffix in s. It is valid until s is used again.
func (c *counterMode) tag(s *scratch, packet []byte) []byte {
	restore(s, c.inner)
	s.hash.Write(packet)
	s.hash.Write(s.suffix[:])
	inner := s.hash.Sum(s.sum[:0])
	restore(s, c.outer)
	s.hash.Write(inner)
	return s.hash.Sum(s.sum[:0])[:c.tagLen]
}

func restore(s *scratch, state []byte) {
	if err := s.state.UnmarshalBinary(state); err != nil {
		panic("srtp: SHA-1 does not take its own state: " + err.Error()) // never depends on input
	}
}

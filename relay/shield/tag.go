package shield

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// tagger makes the tag of shielded packets of one direction: SipHash-2-4 over header and content, cut to 32 bits. It is a
// keyed pseudo-random function, so a forger without the key has one chance in 2^32 a packet, and the packets inside are
// QUIC's, which has its own, longer tags.
type tagger struct{ k0, k1 uint64 }

// minSecret is the least length of a secret.
const minSecret = 16

// taggers derives the keys of both directions from a secret that the two ends share.
func taggers(secret []byte, client bool) (out, in tagger, err error) {
	if len(secret) < minSecret {
		return out, in, fmt.Errorf("secret of %d bytes, fewer than %d", len(secret), minSecret)
	}
	keys, err := hkdf.Key(sha256.New, secret, nil, "cardea shield v0", 32)
	if err != nil {
		return out, in, fmt.Errorf("derive keys: %w", err)
	}
	le := binary.LittleEndian
	fromClient := tagger{le.Uint64(keys), le.Uint64(keys[8:])}
	fromServer := tagger{le.Uint64(keys[16:]), le.Uint64(keys[24:])}
	if client {
		return fromClient, fromServer, nil
	}
	return fromServer, fromClient, nil
}

// put writes the tag of the packet into its header.
func (t tagger) put(b []byte) { binary.BigEndian.PutUint32(b[8:], t.sum(b)) }

// valid tells whether the packet carries the right tag.
func (t tagger) valid(b []byte) bool { return binary.BigEndian.Uint32(b[8:]) == t.sum(b) }

// sum is SipHash-2-4 of b without its bytes 8 to 11, where the tag lies. b is longer than a header.
func (t tagger) sum(b []byte) uint32 {
	v0 := t.k0 ^ 0x736f6d6570736575
	v1 := t.k1 ^ 0x646f72616e646f6d
	v2 := t.k0 ^ 0x6c7967656e657261
	v3 := t.k1 ^ 0x7465646279746573
	last := uint64(len(b)-4) << 56
	m := binary.LittleEndian.Uint64(b)
	b = b[headerLen:]
	for {
		v3 ^= m
		for range 2 {
			v0 += v1
			v2 += v3
			v1 = bits.RotateLeft64(v1, 13) ^ v0
			v3 = bits.RotateLeft64(v3, 16) ^ v2
			v0 = bits.RotateLeft64(v0, 32)
			v2 += v1
			v0 += v3
			v1 = bits.RotateLeft64(v1, 17) ^ v2
			v3 = bits.RotateLeft64(v3, 21) ^ v0
			v2 = bits.RotateLeft64(v2, 32)
		}
		v0 ^= m
		if len(b) < 8 {
			break
		}
		m = binary.LittleEndian.Uint64(b)
		b = b[8:]
	}
	for i, c := range b {
		last |= uint64(c) << (8 * i)
	}
	v3 ^= last
	for i := range 6 {
		if i == 2 {
			v0 ^= last
			v2 ^= 0xff
		}
		v0 += v1
		v2 += v3
		v1 = bits.RotateLeft64(v1, 13) ^ v0
		v3 = bits.RotateLeft64(v3, 16) ^ v2
		v0 = bits.RotateLeft64(v0, 32)
		v2 += v1
		v0 += v3
		v1 = bits.RotateLeft64(v1, 17) ^ v2
		v3 = bits.RotateLeft64(v3, 21) ^ v0
		v2 = bits.RotateLeft64(v2, 32)
	}
	sum := v0 ^ v1 ^ v2 ^ v3
	return uint32(sum) ^ uint32(sum>>32)
}

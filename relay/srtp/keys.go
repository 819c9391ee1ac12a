package srtp

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Why a packet was not opened. Nothing of a refused packet may be used, and it changed no state.
var (
	// ErrAuth says that a packet is forged, damaged, or protected with other keys.
	ErrAuth = errors.New("srtp: authentication failed")
	// ErrReplay says that a packet came before, or is too old to tell.
	ErrReplay = errors.New("srtp: packet is a replay or too old")
	// ErrShort says that a packet is too short to be protected, or the room given too small for what is in it.
	ErrShort = errors.New("srtp: packet or buffer is too short")
)

// Keys are the session keys of one direction of one transport: what protects what we send, or opens what we receive.
// Safe for concurrent use.
type Keys struct {
	profile   Profile
	rtp, rtcp transform // set once

	rtcpIndex atomic.Uint64 // of the next SRTCP packet to send, see ProtectRTCP

	mu       sync.Mutex // guards below
	rtcpSeen []rtcpSource
	rtcpUse  uint64 // counts uses, for rtcpSource.used
}

// transform protects packets of one kind with one set of session keys: aead is set with GCM, cm with counter mode.
type transform struct {
	aead cipher.AEAD
	salt [gcmSaltLen]byte // with aead
	cm   *counterMode
}

// Labels of key derivation (RFC 3711 section 4.3.2).
const (
	labelRTP  = 0
	labelRTCP = 3

	labelEncryption = 0
	labelAuth       = 1
	labelSalt       = 2
)

// NewKeys derives the session keys from the master key and salt of one direction, which must be of the profile's
// lengths and may be wiped afterwards.
func NewKeys(p Profile, masterKey, masterSalt []byte) (*Keys, error) {
	switch {
	case !p.Valid():
		return nil, fmt.Errorf("srtp: unknown protection %v", p)
	case len(masterKey) != p.KeyLen() || len(masterSalt) != p.SaltLen():
		return nil, fmt.Errorf("srtp: %v needs %d+%d bytes of master key and salt, not %d+%d",
			p, p.KeyLen(), p.SaltLen(), len(masterKey), len(masterSalt))
	}
	master, err := aes.NewCipher(masterKey)
	if err != nil {
		return nil, fmt.Errorf("srtp: master key: %w", err)
	}
	k := &Keys{profile: p}
	if k.rtp, err = derive(p, labelRTP, master, masterSalt, p.RTPOverhead()); err != nil {
		return nil, err
	}
	if k.rtcp, err = derive(p, labelRTCP, master, masterSalt, rtcpTagLen); err != nil {
		return nil, err
	}
	return k, nil
}

// Profile returns the protection profile.
func (k *Keys) Profile() Profile { return k.profile }

// derive makes the transform whose labels begin at label. tagLen counts with counter mode only.
func derive(p Profile, label byte, master cipher.Block, masterSalt []byte, tagLen int) (transform, error) {
	key := deriveKey(master, masterSalt, label+labelEncryption, p.KeyLen())
	salt := deriveKey(master, masterSalt, label+labelSalt, p.SaltLen())
	auth := deriveKey(master, masterSalt, label+labelAuth, cmAuthLen)
	return newTransform(p, key, salt, auth, tagLen)
}

// newTransform makes a transform of session keys.
func newTransform(p Profile, key, salt, auth []byte, tagLen int) (transform, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return transform{}, fmt.Errorf("srtp: session key: %w", err)
	}
	if !p.gcm() {
		cm, err := newCounterMode(block, salt, auth, tagLen)
		return transform{cm: cm}, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return transform{}, fmt.Errorf("srtp: session key: %w", err)
	}
	return transform{aead: aead, salt: [gcmSaltLen]byte(salt)}, nil
}

// deriveKey is the key derivation of RFC 3711 section 4.3, with a key derivation rate of zero: n bytes of the counter-mode
// keystream of the master key whose initial counter is the master salt with the label in its eighth byte. Salts of 12
// bytes are padded at the end (RFC 7714 section 11).
func deriveKey(master cipher.Block, masterSalt []byte, label byte, n int) []byte {
	key := make([]byte, (n+aes.BlockSize-1)&^(aes.BlockSize-1))
	for i := 0; i < len(key); i += aes.BlockSize {
		block := key[i : i+aes.BlockSize]
		copy(block[:cmSaltLen], masterSalt)
		block[7] ^= label
		block[aes.BlockSize-1] = byte(i / aes.BlockSize) // the last two bytes count blocks
		master.Encrypt(block, block)
	}
	return key[:n:n]
}

// gcmNonce writes the nonce of a packet: two zero bytes, SSRC and the packet's 48 bits of index, all xored with the
// session salt (RFC 7714 sections 8.1 and 9.1).
func gcmNonce(nonce, salt *[gcmSaltLen]byte, ssrc uint32, index uint64) {
	nonce[0], nonce[1] = salt[0], salt[1]
	binary.BigEndian.PutUint32(nonce[2:], binary.BigEndian.Uint32(salt[2:])^ssrc)
	binary.BigEndian.PutUint16(nonce[6:], binary.BigEndian.Uint16(salt[6:])^uint16(index>>32))
	binary.BigEndian.PutUint32(nonce[8:], binary.BigEndian.Uint32(salt[8:])^uint32(index))
}

package srtp

import (
	"crypto/subtle"
	"encoding/binary"
)

const rtpHeaderLen = 12 // at least

// Sender protects the packets of one outgoing SSRC. It holds no ciphers of its own, so many are cheap. Not safe for
// concurrent use; the senders of one Keys may be used at the same time.
type Sender struct {
	keys  *Keys
	ssrc  uint32
	nonce [gcmSaltLen]byte // the scratch of one packet
}

// NewSender returns a sender for an SSRC.
func (k *Keys) NewSender(ssrc uint32) *Sender { return &Sender{keys: k, ssrc: ssrc} }

// Protect encrypts the packet buf in place and returns it with its tag: headerLen bytes of header, which stay readable,
// and the payload. buf has [Profile.RTPOverhead] bytes of capacity behind it, or else is copied.
//
// index is the rollover counter << 16 | the sequence number in the header, 48 bits. It is the nonce: two packets that
// differ must never be protected with the same index of one SSRC and Keys, or GCM gives its key away. The same packet
// may be protected again, byte for byte, as a retransmission.
func (s *Sender) Protect(buf []byte, headerLen int, index uint64) []byte {
	t := &s.keys.rtp
	if t.aead != nil {
		gcmNonce(&s.nonce, &t.salt, s.ssrc, index)
		return t.aead.Seal(buf[:headerLen], s.nonce[:], buf[headerLen:], buf[:headerLen])
	}
	x := scratches.Get().(*scratch)
	t.cm.xor(x, buf[headerLen:], buf[headerLen:], s.ssrc, index)
	binary.BigEndian.PutUint32(x.suffix[:], uint32(index>>16))
	buf = append(buf, t.cm.tag(x, buf)...)
	scratches.Put(x)
	return buf
}

// Receiver opens the packets of one incoming SSRC: it follows the rollover counter and refuses what came before within
// the last 1,024 packets, or is older. Not safe for concurrent use; the receivers of one Keys may be used at the same
// time.
type Receiver struct {
	keys  *Keys
	ssrc  uint32
	nonce [gcmSaltLen]byte // the scratch of one packet
	seen  replay
}

// NewReceiver returns a receiver for an SSRC. Its rollover counter begins at zero, so it must not miss the sender's
// first 32,768 packets.
func (k *Keys) NewReceiver(ssrc uint32) *Receiver { return &Receiver{keys: k, ssrc: ssrc} }

// Open checks an RTP packet of headerLen bytes of header and writes its decrypted payload to dst, which is the packet's own
// payload (packet[headerLen:]) or does not overlap it, and has room for the payload, see [Profile.RTPOverhead]. It
// returns the length of the payload and the packet's index: rollover counter << 16 | sequence number.
//
// The error is [ErrShort], [ErrReplay] or [ErrAuth]; dst is then garbage.
func (r *Receiver) Open(dst, packet []byte, headerLen int) (n int, index uint64, err error) {
	n = len(packet) - headerLen - r.keys.profile.RTPOverhead()
	if headerLen < rtpHeaderLen || n < 0 || n > len(dst) {
		return 0, 0, ErrShort
	}
	if binary.BigEndian.Uint32(packet[8:]) != r.ssrc {
		return 0, 0, ErrAuth // GCM would see it, counter mode would decrypt to garbage
	}
	index = r.seen.estimate(binary.BigEndian.Uint16(packet[2:]))
	if !r.seen.fresh(index) {
		return 0, 0, ErrReplay
	}
	t := &r.keys.rtp
	if t.aead != nil {
		gcmNonce(&r.nonce, &t.salt, r.ssrc, index)
		if _, err := t.aead.Open(dst[:0:n], r.nonce[:], packet[headerLen:], packet[:headerLen]); err != nil {
			return 0, 0, ErrAuth
		}
	} else if !t.cm.open(dst, packet, headerLen, n, r.ssrc, index) {
		return 0, 0, ErrAuth
	}
	r.seen.add(index)
	return n, index, nil
}

// open checks the tag of an RTP packet and decrypts its payload of n bytes to dst.
func (c *counterMode) open(dst, packet []byte, headerLen, n int, ssrc uint32, index uint64) bool {
	x := scratches.Get().(*scratch)
	defer scratches.Put(x)
	end := headerLen + n
	binary.BigEndian.PutUint32(x.suffix[:], uint32(index>>16))
	if subtle.ConstantTimeCompare(c.tag(x, packet[:end]), packet[end:]) != 1 {
		return false
	}
	c.xor(x, dst, packet[headerLen:end], ssrc, index)
	return true
}

package srtp

import (
	"crypto/subtle"
	"encoding/binary"
)

const (
	rtcpHeaderLen = 8 // stays readable: header and SSRC of the sender
	rtcpEncrypted = 1 << 31
	rtcpIndexMax  = 1<<31 - 1

	// maxRTCPSources bounds how many senders of RTCP the replay check knows; beyond it the one heard longest ago is
	// forgotten. Clients have one to three for each track they send.
	maxRTCPSources = 128
)

// rtcpSource is a sender of RTCP whose packets were opened.
type rtcpSource struct {
	ssrc uint32
	used uint64
	seen replay
}

// ProtectRTCP appends to dst the compound RTCP packet, encrypted and authenticated; it grows by [Profile.RTCPOverhead].
// dst may be packet[:0], for work in place. Safe for concurrent use.
//
// It returns nil for a packet of less than 8 bytes and when all 2^31 packets that the keys allow are spent.
func (k *Keys) ProtectRTCP(dst, packet []byte) []byte {
	// RFC 3711 section 3.4 has an index for each sender. One for all is as unique, needs no table, and lasts 3 years at
	// 20 packets a second; receivers see gaps, which is what packet loss looks like.
	index := k.rtcpIndex.Add(1) - 1
	if len(packet) < rtcpHeaderLen || index > rtcpIndexMax {
		return nil
	}
	word := rtcpEncrypted | uint32(index)
	start := len(dst)
	dst = append(dst, packet...)
	out := dst[start:]
	ssrc := binary.BigEndian.Uint32(out[4:])

	x := scratches.Get().(*scratch)
	defer scratches.Put(x)
	if t := &k.rtcp; t.aead != nil {
		gcmNonce(&x.nonce, &t.salt, ssrc, index)
		aad := gcmAAD(x, out, word)
		dst = t.aead.Seal(dst[:start+rtcpHeaderLen], x.nonce[:], out[rtcpHeaderLen:], aad)
		return binary.BigEndian.AppendUint32(dst, word)
	}
	k.rtcp.cm.xor(x, out[rtcpHeaderLen:], out[rtcpHeaderLen:], ssrc, index)
	binary.BigEndian.PutUint32(x.suffix[:], word)
	tag := k.rtcp.cm.tag(x, out)
	dst = binary.BigEndian.AppendUint32(dst, word)
	return append(dst, tag...)
}

// OpenRTCP checks a compound SRTCP packet and appends it to dst, decrypted. dst may be packet[:0], for work in place.
// Safe for concurrent use. The error is [ErrShort], [ErrReplay] or [ErrAuth]; a packet that its sender did not encrypt counts
// as forged.
func (k *Keys) OpenRTCP(dst, packet []byte) ([]byte, error) {
	end := len(packet) - k.profile.RTCPOverhead()
	if end < rtcpHeaderLen {
		return nil, ErrShort
	}
	at := end // where the index is
	if k.rtcp.aead != nil {
		at += gcmTagLen
	}
	word := binary.BigEndian.Uint32(packet[at:])
	if word&rtcpEncrypted == 0 {
		return nil, ErrAuth
	}
	index := uint64(word &^ rtcpEncrypted)
	ssrc := binary.BigEndian.Uint32(packet[4:])
	if !k.rtcpFresh(ssrc, index) {
		return nil, ErrReplay
	}
	out, ok := k.openRTCP(dst, packet, end, ssrc, word)
	if !ok {
		return nil, ErrAuth
	}
	if !k.rtcpAdd(ssrc, index) {
		return nil, ErrReplay // a copy was opened at the same time
	}
	return out, nil
}

// openRTCP authenticates a packet, decrypts its first end bytes and appends them to dst.
func (k *Keys) openRTCP(dst, packet []byte, end int, ssrc, word uint32) (out []byte, ok bool) {
	index := uint64(word &^ rtcpEncrypted)
	x := scratches.Get().(*scratch)
	defer scratches.Put(x)
	if t := &k.rtcp; t.aead != nil {
		gcmNonce(&x.nonce, &t.salt, ssrc, index)
		aad := gcmAAD(x, packet, word)
		sealed := packet[rtcpHeaderLen : end+gcmTagLen]
		dst = append(dst, packet[:rtcpHeaderLen]...)
		dst, err := t.aead.Open(dst, x.nonce[:], sealed, aad)
		return dst, err == nil
	}
	cm := k.rtcp.cm
	binary.BigEndian.PutUint32(x.suffix[:], word)
	if subtle.ConstantTimeCompare(cm.tag(x, packet[:end]), packet[end+rtcpIndexed:]) != 1 {
		return nil, false
	}
	start := len(dst)
	dst = append(dst, packet[:end]...)
	body := dst[start+rtcpHeaderLen:]
	cm.xor(x, body, body, ssrc, index)
	return dst, true
}

// gcmAAD returns what GCM authenticates besides the encrypted part: the readable header and the index (RFC 7714 section 9.2).
func gcmAAD(x *scratch, packet []byte, word uint32) []byte {
	copy(x.aad[:], packet[:rtcpHeaderLen])
	binary.BigEndian.PutUint32(x.aad[rtcpHeaderLen:], word)
	return x.aad[:]
}

// rtcpFresh tells whether a packet may be new. A source not heard before is not remembered for this: the packet is not
// authenticated yet.
func (k *Keys) rtcpFresh(ssrc uint32, index uint64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.rtcpFind(ssrc)
	return s == nil || s.seen.fresh(index)
}

// rtcpAdd remembers an authenticated packet; false if it has been remembered before.
func (k *Keys) rtcpAdd(ssrc uint32, index uint64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.rtcpFind(ssrc)
	if s == nil {
		s = k.rtcpRoom()
		*s = rtcpSource{ssrc: ssrc}
	}
	if !s.seen.fresh(index) {
		return false
	}
	k.rtcpUse++
	s.used = k.rtcpUse
	s.seen.add(index)
	return true
}

func (k *Keys) rtcpFind(ssrc uint32) *rtcpSource {
	for i := range k.rtcpSeen {
		if k.rtcpSeen[i].ssrc == ssrc {
			return &k.rtcpSeen[i]
		}
	}
	return nil
}

// rtcpRoom returns an entry for a new source, that of the one used longest ago when the table is full.
func (k *Keys) rtcpRoom() *rtcpSource {
	if len(k.rtcpSeen) < maxRTCPSources {
		k.rtcpSeen = append(k.rtcpSeen, rtcpSource{})
		return &k.rtcpSeen[len(k.rtcpSeen)-1]
	}
	oldest := &k.rtcpSeen[0]
	for i := range k.rtcpSeen {
		if k.rtcpSeen[i].used < oldest.used {
			oldest = &k.rtcpSeen[i]
		}
	}
	return oldest
}

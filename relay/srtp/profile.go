package srtp

import "fmt"

// Profile is a protection profile, numbered as in DTLS-SRTP (RFC 5764 section 4.1.2, RFC 7714 section 14.2).
type Profile uint16

// The profiles that WebRTC clients offer.
const (
	AES128CMHMACSHA180 Profile = 0x0001
	AES128CMHMACSHA132 Profile = 0x0002
	AEADAES128GCM      Profile = 0x0007
	AEADAES256GCM      Profile = 0x0008
)

const (
	gcmTagLen   = 16
	gcmSaltLen  = 12
	cmSaltLen   = 14
	cmAuthLen   = 20 // HMAC-SHA1 key, RFC 3711 section 5.2
	rtcpTagLen  = 10 // also with AES128CMHMACSHA132, RFC 5764 section 4.1.2
	rtcpIndexed = 4  // E flag and index
)

// Valid tells whether the profile is one of those above.
func (p Profile) Valid() bool { return p.KeyLen() != 0 }

// KeyLen returns the length of the master key in bytes; 0 if the profile is not known.
func (p Profile) KeyLen() int {
	switch p {
	case AES128CMHMACSHA180, AES128CMHMACSHA132, AEADAES128GCM:
		return 16
	case AEADAES256GCM:
		return 32
	}
	return 0
}

// SaltLen returns the length of the master salt in bytes; 0 if the profile is not known.
func (p Profile) SaltLen() int {
	switch p {
	case AES128CMHMACSHA180, AES128CMHMACSHA132:
		return cmSaltLen
	case AEADAES128GCM, AEADAES256GCM:
		return gcmSaltLen
	}
	return 0
}

// RTPOverhead returns how many bytes protection adds to an RTP packet; 0 if the profile is not known.
func (p Profile) RTPOverhead() int {
	switch p {
	case AES128CMHMACSHA180:
		return 10
	case AES128CMHMACSHA132:
		return 4
	case AEADAES128GCM, AEADAES256GCM:
		return gcmTagLen
	}
	return 0
}

// RTCPOverhead returns how many bytes protection adds to a compound RTCP packet; 0 if the profile is not known.
func (p Profile) RTCPOverhead() int {
	switch p {
	case AES128CMHMACSHA180, AES128CMHMACSHA132:
		return rtcpTagLen + rtcpIndexed
	case AEADAES128GCM, AEADAES256GCM:
		return gcmTagLen + rtcpIndexed
	}
	return 0
}

// String returns the name in the IANA registry of DTLS-SRTP protection profiles, without its prefix SRTP_.
func (p Profile) String() string {
	switch p {
	case AES128CMHMACSHA180:
		return "AES128_CM_HMAC_SHA1_80"
	case AES128CMHMACSHA132:
		return "AES128_CM_HMAC_SHA1_32"
	case AEADAES128GCM:
		return "AEAD_AES_128_GCM"
	case AEADAES256GCM:
		return "AEAD_AES_256_GCM"
	}
	return fmt.Sprintf("Profile(%#04x)", uint16(p))
}

func (p Profile) gcm() bool { return p == AEADAES128GCM || p == AEADAES256GCM }

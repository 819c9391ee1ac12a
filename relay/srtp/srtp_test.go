package srtp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"unsafe"

	pion "github.com/pion/srtp/v3"
	"pgregory.net/rapid"
)

var profiles = []Profile{AES128CMHMACSHA180, AES128CMHMACSHA132, AEADAES128GCM, AEADAES256GCM}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// master returns a master key and salt for the profile.
func master(p Profile) (key, salt []byte) {
	key, salt = make([]byte, p.KeyLen()), make([]byte, p.SaltLen())
	for i := range key {
		key[i] = byte(3*i + 1)
	}
	for i := range salt {
		salt[i] = byte(7*i + 5)
	}
	return key, salt
}

func testKeys(t testing.TB, p Profile) *Keys {
	t.Helper()
	key, salt := master(p)
	k, err := NewKeys(p, key, salt)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func pionContext(t testing.TB, p Profile) *pion.Context {
	t.Helper()
	key, salt := master(p)
	c, err := pion.CreateContext(key, salt, pion.ProtectionProfile(p),
		pion.SRTPReplayProtection(replayWindow), pion.SRTCPReplayProtection(replayWindow))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// rtpPacket returns a packet of size bytes, with a header of 12, and spare capacity behind it.
func rtpPacket(ssrc uint32, seq uint16, size, spare int) []byte {
	b := make([]byte, size, size+spare)
	b[0], b[1] = 0x80, 96
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	for i := 12; i < size; i++ {
		b[i] = byte(i * int(seq+1))
	}
	return b
}

// rtcpPacket returns a receiver report padded to size bytes, a multiple of four.
func rtcpPacket(ssrc uint32, size int) []byte {
	b := make([]byte, size)
	b[0], b[1] = 0x80, 201
	binary.BigEndian.PutUint16(b[2:], uint16(size/4-1))
	binary.BigEndian.PutUint32(b[4:], ssrc)
	for i := 8; i < size; i++ {
		b[i] = byte(i)
	}
	return b
}

func TestNewKeysChecks(t *testing.T) {
	for _, p := range profiles {
		key, salt := master(p)
		for _, bad := range [][2][]byte{{key[1:], salt}, {key, salt[1:]}, {append(key, 1), salt}, {nil, nil}} {
			if _, err := NewKeys(p, bad[0], bad[1]); err == nil {
				t.Errorf("%v takes %d+%d bytes", p, len(bad[0]), len(bad[1]))
			}
		}
	}
	if _, err := NewKeys(3, nil, nil); err == nil {
		t.Error("unknown profile taken")
	}
}

func TestProfilesAgreeWithPion(t *testing.T) {
	for _, p := range profiles {
		o := pion.ProtectionProfile(p)
		key, _ := o.KeyLen()
		salt, _ := o.SaltLen()
		if p.KeyLen() != key || p.SaltLen() != salt || "SRTP_"+p.String() != o.String() {
			t.Errorf("%v: %d+%d bytes; pion %v: %d+%d", p, p.KeyLen(), p.SaltLen(), o, key, salt)
		}
	}
	if p := Profile(5); p.Valid() || p.SaltLen()+p.RTPOverhead()+p.RTCPOverhead() != 0 || p.String() != "Profile(0x0005)" {
		t.Errorf("unknown profile: %v", p)
	}
}

// Both ways with pion over two rollovers, with headers of different lengths and payloads around block sizes.
func TestRTPWithPion(t *testing.T) {
	for _, p := range profiles {
		t.Run(p.String(), func(t *testing.T) {
			s, theirs := testKeys(t, p).NewSender(7), pionContext(t, p)
			r, ours := testKeys(t, p).NewReceiver(7), pionContext(t, p)
			for i := range 600 {
				index := uint64(65000 + 250*i)
				plain := rtpPacket(7, uint16(index), 12+i%70+i/500*512, p.RTPOverhead())
				headerLen := 12
				if i%3 == 0 && len(plain) >= 40 {
					headerLen = 20
					plain[0] |= 0x10
					copy(plain[12:], []byte{0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 0})
				}
				want := bytes.Clone(plain)

				sealed, err := ours.EncryptRTP(nil, plain, nil)
				if err != nil {
					t.Fatal(err)
				}
				dst := make([]byte, len(plain)-headerLen)
				n, got, err := r.Open(dst, sealed, headerLen)
				if err != nil || got != index || !bytes.Equal(dst[:n], want[headerLen:]) {
					t.Fatalf("opening packet %d: index %d, %v", index, got, err)
				}

				mine := s.Protect(plain, headerLen, index)
				if !bytes.Equal(mine, sealed) {
					t.Fatalf("packet %d: protected %x, pion %x", index, mine, sealed)
				}
				opened, err := theirs.DecryptRTP(nil, mine, nil)
				if err != nil || !bytes.Equal(opened, want) {
					t.Fatalf("pion opening packet %d: %v", index, err)
				}
			}
		})
	}
}

func TestOpenInPlace(t *testing.T) {
	for _, p := range profiles {
		sealed := testKeys(t, p).NewSender(7).Protect(rtpPacket(7, 9, 700, 0), 12, 9)
		n, _, err := testKeys(t, p).NewReceiver(7).Open(sealed[12:], sealed, 12)
		if err != nil || !bytes.Equal(sealed[:12+n], rtpPacket(7, 9, 700, 0)) {
			t.Errorf("%v: %v", p, err)
		}
	}
}

func TestProtectRepeatsItself(t *testing.T) {
	for _, p := range profiles {
		s := testKeys(t, p).NewSender(7)
		first := s.Protect(rtpPacket(7, 9, 100, 0), 12, 9)
		s.Protect(rtpPacket(7, 10, 100, 0), 12, 10)
		if again := s.Protect(rtpPacket(7, 9, 100, 16), 12, 9); !bytes.Equal(first, again) {
			t.Errorf("%v: a retransmission differs", p)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, p := range profiles {
		t.Run(p.String(), func(t *testing.T) {
			seal := func() []byte { return testKeys(t, p).NewSender(7).Protect(rtpPacket(7, 9, 60, 0), 12, 9) }
			r := testKeys(t, p).NewReceiver(7)
			dst := make([]byte, 100)
			for i := range 8 * len(seal()) {
				if i/8 == 2 || i/8 == 3 {
					continue // the sequence number, below
				}
				packet := seal()
				packet[i/8] ^= 1 << (i % 8)
				if _, _, err := r.Open(dst, packet, 12); !errors.Is(err, ErrAuth) {
					t.Fatalf("bit %d flipped: %v", i, err)
				}
			}
			packet := seal()
			packet[3]++
			if _, _, err := r.Open(dst, packet, 12); !errors.Is(err, ErrAuth) {
				t.Errorf("other sequence number: %v", err)
			}
			if _, _, err := testKeys(t, p).NewReceiver(8).Open(dst, seal(), 12); !errors.Is(err, ErrAuth) {
				t.Errorf("other SSRC: %v", err)
			}
			for n := range 12 + p.RTPOverhead() {
				if _, _, err := r.Open(dst, seal()[:n], 12); !errors.Is(err, ErrShort) {
					t.Errorf("%d bytes: %v", n, err)
				}
			}
			if _, _, err := r.Open(dst[:47], seal(), 12); !errors.Is(err, ErrShort) {
				t.Errorf("no room: %v", err)
			}
			if _, _, err := r.Open(dst, seal(), 0); !errors.Is(err, ErrShort) {
				t.Errorf("no header: %v", err)
			}
			// All of that left no trace.
			if _, _, err := r.Open(dst[:48], seal(), 12); err != nil {
				t.Errorf("the packet itself: %v", err)
			}
			if _, _, err := r.Open(dst, seal(), 12); !errors.Is(err, ErrReplay) {
				t.Errorf("the packet again: %v", err)
			}
		})
	}
}

func TestRollover(t *testing.T) {
	const roc = 1 << 16
	tests := []struct {
		name    string
		indices []uint64
		errs    map[int]error // of the n-th
	}{
		{"in order", []uint64{65534, 65535, roc, roc + 1}, nil},
		{"reordered at the wrap", []uint64{65533, roc, 65535, roc + 1, 65534}, nil},
		{"replay over the wrap", []uint64{65535, roc, 65535, roc}, map[int]error{2: ErrReplay, 3: ErrReplay}},
		{"oldest within the window", []uint64{100, 100 + replayWindow - 1, 101, 100}, map[int]error{3: ErrReplay}},
		{"just out of the window", []uint64{100, 101 + replayWindow, 101, 102}, map[int]error{2: ErrReplay}},
		{"large steps", []uint64{0, 32767, 65534, 32765 + roc, roc + 65532}, nil},
		{"late before the first", []uint64{3, 2, 1}, nil},
		{"too far ahead", []uint64{0, 40000 + roc}, map[int]error{1: ErrAuth}},
	}
	for _, tt := range tests {
		for _, p := range []Profile{AES128CMHMACSHA180, AEADAES128GCM} {
			s, r := testKeys(t, p).NewSender(7), testKeys(t, p).NewReceiver(7)
			dst := make([]byte, 100)
			for i, index := range tt.indices {
				_, got, err := r.Open(dst, s.Protect(rtpPacket(7, uint16(index), 60, 16), 12, index), 12)
				if !errors.Is(err, tt.errs[i]) || err == nil && got != index {
					t.Errorf("%s, %v: packet %d: index %d, %v; want %v", tt.name, p, index, got, err, tt.errs[i])
				}
			}
		}
	}
}

// The window agrees with a set of all that came.
func TestReplayIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r replay
		seen := map[uint64]bool{}
		base := rapid.Uint64Range(0, 1<<47).Draw(t, "base")
		step := rapid.OneOf(rapid.Int64Range(-20, 20), rapid.Int64Range(-1100, 3000))
		for range 200 {
			index := uint64(max(int64(base)+step.Draw(t, "step"), 0))
			fresh := !seen[index] && (!r.started || index+replayWindow > r.highest)
			if got := r.fresh(index); got != fresh {
				t.Fatalf("fresh(%d) = %v with highest %d", index, got, r.highest)
			}
			if r.started && index+32768 > r.highest && index < r.highest+32767 && r.estimate(uint16(index)) != index {
				t.Fatalf("estimate(%d) = %d with highest %d", uint16(index), r.estimate(uint16(index)), r.highest)
			}
			if fresh {
				r.add(index)
				seen[index] = true
				base = max(base, index)
			}
		}
	})
}

// poolDrops says that pooled memory is not always reused in this build, see race_test.go.
var poolDrops bool

func TestAllocations(t *testing.T) {
	for _, p := range profiles {
		k := testKeys(t, p)
		s, r := k.NewSender(7), k.NewReceiver(7)
		buf, dst := rtpPacket(7, 0, 1000, 16), make([]byte, 1100)
		rtcp, sealed := rtcpPacket(7, 100), make([]byte, 0, 200)
		index := uint64(0)
		allocs := testing.AllocsPerRun(100, func() {
			index++
			binary.BigEndian.PutUint16(buf[2:], uint16(index))
			if _, _, err := r.Open(dst, s.Protect(buf[:1000], 12, index), 12); err != nil {
				t.Fatal(err)
			}
			if _, err := k.OpenRTCP(dst[:0], k.ProtectRTCP(sealed, rtcp)); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 && !poolDrops {
			t.Errorf("%v: %v allocations", p, allocs)
		}
	}
	if size := unsafe.Sizeof(Sender{}); size > 32 {
		t.Errorf("a sender takes %d bytes", size)
	}
}

// FuzzOpen throws packets at a receiver: none may be opened but those that pion, too, would open.
func FuzzOpen(f *testing.F) {
	for i, p := range profiles {
		f.Add(uint8(i), testKeys(f, p).NewSender(7).Protect(rtpPacket(7, 9, 60, 0), 12, 9), 12)
	}
	f.Fuzz(func(t *testing.T, which uint8, packet []byte, headerLen int) {
		p := profiles[int(which)%len(profiles)]
		if headerLen < 0 || headerLen > len(packet) {
			return
		}
		r := testKeys(t, p).NewReceiver(7)
		dst := make([]byte, len(packet))
		if _, _, err := r.Open(dst, bytes.Clone(packet), headerLen); err == nil {
			if _, err := pionContext(t, p).DecryptRTP(nil, packet, nil); err != nil {
				t.Fatalf("opened what pion refuses: %v", err)
			}
		}
	})
}

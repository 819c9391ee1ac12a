package srtp

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

func TestRTCPWithPion(t *testing.T) {
	for _, p := range profiles {
		t.Run(p.String(), func(t *testing.T) {
			k := testKeys(t, p)
			theirs, ours := pionContext(t, p), pionContext(t, p)
			for i := range 200 {
				plain := rtcpPacket(uint32(i%3), 8+4*(i%150))
				opened, err := theirs.DecryptRTCP(nil, k.ProtectRTCP(nil, plain), nil)
				if err != nil || !bytes.Equal(opened, plain) {
					t.Fatalf("pion opening packet %d: %v", i, err)
				}
				sealed, err := ours.EncryptRTCP(nil, plain, nil)
				if err != nil {
					t.Fatal(err)
				}
				if got := len(sealed) - len(plain); got != p.RTCPOverhead() {
					t.Fatalf("overhead of %d bytes", got)
				}
				opened, err = k.OpenRTCP(nil, sealed)
				if err != nil || !bytes.Equal(opened, plain) {
					t.Fatalf("opening packet %d: %v", i, err)
				}
			}
		})
	}
}

func TestRTCPAppendsAndWorksInPlace(t *testing.T) {
	for _, p := range profiles {
		plain := rtcpPacket(1, 48)
		sealed := testKeys(t, p).ProtectRTCP([]byte("ab"), plain)
		inPlace := append(make([]byte, 0, 100), plain...)
		inPlace = testKeys(t, p).ProtectRTCP(inPlace[:0], inPlace)
		if string(sealed[:2]) != "ab" || !bytes.Equal(sealed[2:], inPlace) || !bytes.Equal(plain, rtcpPacket(1, 48)) {
			t.Errorf("%v: appended %x, in place %x", p, sealed, inPlace)
		}
		opened, err := testKeys(t, p).OpenRTCP([]byte("ab"), inPlace)
		if err != nil || string(opened) != "ab"+string(plain) {
			t.Errorf("%v: appended %x, %v", p, opened, err)
		}
		opened, err = testKeys(t, p).OpenRTCP(inPlace[:0], inPlace)
		if err != nil || !bytes.Equal(opened, plain) {
			t.Errorf("%v: in place %x, %v", p, opened, err)
		}
	}
}

func TestOpenRTCPRefuses(t *testing.T) {
	for _, p := range profiles {
		t.Run(p.String(), func(t *testing.T) {
			k := testKeys(t, p)
			sealed := testKeys(t, p).ProtectRTCP(nil, rtcpPacket(1, 16))
			for i := range 8 * len(sealed) {
				damaged := bytes.Clone(sealed)
				damaged[i/8] ^= 1 << (i % 8)
				if _, err := k.OpenRTCP(nil, damaged); !errors.Is(err, ErrAuth) {
					t.Fatalf("bit %d flipped: %v", i, err)
				}
			}
			for n := range 8 + p.RTCPOverhead() {
				if _, err := k.OpenRTCP(nil, sealed[:n]); !errors.Is(err, ErrShort) {
					t.Fatalf("%d bytes: %v", n, err)
				}
			}
			if len(k.rtcpSeen) != 0 {
				t.Fatal("forged packets were remembered")
			}
			if _, err := k.OpenRTCP(nil, sealed); err != nil {
				t.Error(err)
			}
			if _, err := k.OpenRTCP(nil, sealed); !errors.Is(err, ErrReplay) {
				t.Errorf("replay: %v", err)
			}
		})
	}
}

func TestProtectRTCPRefuses(t *testing.T) {
	k := testKeys(t, AEADAES128GCM)
	if got := k.ProtectRTCP(nil, make([]byte, 7)); got != nil {
		t.Errorf("seven bytes: %x", got)
	}
	k.rtcpIndex.Store(rtcpIndexMax)
	if got := k.ProtectRTCP(nil, rtcpPacket(1, 8)); got == nil {
		t.Error("last index refused")
	}
	if got := k.ProtectRTCP(nil, rtcpPacket(1, 8)); got != nil {
		t.Error("index used twice")
	}
}

func TestRTCPSourcesAreBounded(t *testing.T) {
	out, in := testKeys(t, AEADAES128GCM), testKeys(t, AEADAES128GCM)
	open := func(packet []byte) error {
		_, err := in.OpenRTCP(nil, packet)
		return err
	}
	forgotten, kept := out.ProtectRTCP(nil, rtcpPacket(1, 8)), out.ProtectRTCP(nil, rtcpPacket(2, 8))
	for _, packet := range [][]byte{forgotten, kept} {
		if err := open(packet); err != nil {
			t.Fatal(err)
		}
	}
	for ssrc := uint32(3); ssrc < 3+maxRTCPSources-1; ssrc++ {
		for _, ssrc := range []uint32{ssrc, 2} {
			if err := open(out.ProtectRTCP(nil, rtcpPacket(ssrc, 8))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(in.rtcpSeen) != maxRTCPSources {
		t.Errorf("%d sources", len(in.rtcpSeen))
	}
	if err := open(kept); !errors.Is(err, ErrReplay) {
		t.Errorf("the busy source was forgotten: %v", err)
	}
	if err := open(forgotten); err != nil {
		t.Errorf("the quiet source was kept beyond the bound: %v", err)
	}
}

// Many goroutines protect and open at once; of the copies of a packet one is opened.
func TestRTCPConcurrently(t *testing.T) {
	for _, p := range []Profile{AES128CMHMACSHA180, AEADAES128GCM} {
		out, in := testKeys(t, p), testKeys(t, p)
		var opened atomic.Int64
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				s := out.NewSender(uint32(g))
				for i := range 50 {
					packet := out.ProtectRTCP(nil, rtcpPacket(uint32(i%3), 40))
					var copies sync.WaitGroup
					for range 2 {
						copies.Go(func() {
							if _, err := in.OpenRTCP(nil, packet); err == nil {
								opened.Add(1)
							} else if !errors.Is(err, ErrReplay) {
								t.Error(err)
							}
						})
					}
					s.Protect(rtpPacket(uint32(g), uint16(i), 300, 16), 12, uint64(i))
					copies.Wait()
				}
			})
		}
		wg.Wait()
		if got := opened.Load(); got != 200 {
			t.Errorf("%v: %d of 200 packets opened", p, got)
		}
	}
}

// FuzzOpenRTCP throws packets at the keys: none may be opened but what pion, too, opens.
func FuzzOpenRTCP(f *testing.F) {
	for i, p := range profiles {
		f.Add(uint8(i), testKeys(f, p).ProtectRTCP(nil, rtcpPacket(1, 32)))
	}
	f.Fuzz(func(t *testing.T, which uint8, packet []byte) {
		p := profiles[int(which)%len(profiles)]
		got, err := testKeys(t, p).OpenRTCP(nil, packet)
		if err != nil {
			return
		}
		want, err := pionContext(t, p).DecryptRTCP(nil, packet, nil)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("opened %x, pion %x, %v", got, want, err)
		}
	})
}

package turn

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// FuzzHandleDatagram feeds a server that runs. Whatever comes, it must neither panic nor make an allocation, and answers
// must not be much larger than what was asked.
func FuzzHandleDatagram(f *testing.F) {
	cfg := testConfig()
	cfg.UnauthorizedRate = Rate{}
	s, err := New(cfg)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	id := stun.NewTransactionIDSetter([12]byte{1})
	for _, m := range []stun.Method{
		stun.MethodBinding, stun.MethodAllocate, stun.MethodRefresh, stun.MethodCreatePermission,
		stun.MethodChannelBind, stun.MethodSend, stun.MethodConnect, stun.MethodConnectionBind,
	} {
		f.Add(stun.MustBuild(id, stun.NewType(m, stun.ClassRequest)).Raw)
		f.Add(stun.MustBuild(id, stun.NewType(m, stun.ClassRequest), stun.NewUsername("ann"), stun.NewRealm(testRealm),
			stun.NewNonce("nonce"), stun.NewShortTermIntegrity("pw"), stun.Fingerprint).Raw)
	}
	f.Add([]byte{0x40, 0, 0, 4, 1, 2, 3, 4})
	f.Add([]byte{0x40, 0, 0xFF, 0xFF})
	from := netip.MustParseAddrPort("192.0.2.9:4242")
	f.Fuzz(func(t *testing.T, b []byte) {
		s.HandleDatagram(b, from, func(answer []byte, to netip.AddrPort) error {
			if to != from || len(answer) > len(b)+200 {
				t.Errorf("%d bytes to %s for %d", len(answer), to, len(b))
			}
			return nil
		})
		if s.Stats().Allocations.Load() != 0 {
			t.Error("an allocation was made")
		}
	})
}

// FuzzStream reads frames of what a client may write in pieces of any size.
func FuzzStream(f *testing.F) {
	binding := stun.MustBuild(stun.NewTransactionIDSetter([12]byte{1}), stun.BindingRequest).Raw
	allocate := stun.MustBuild(stun.NewTransactionIDSetter([12]byte{1}), stun.NewType(stun.MethodAllocate, stun.ClassRequest)).Raw
	f.Add(append(append([]byte{0x40, 0, 0, 1, 9, 0, 0, 0}, binding...), allocate...), byte(3))
	f.Add([]byte{0x40, 0, 0xFF, 0xFF, 1}, byte(1))
	f.Add([]byte{0x00, 3, 0xFF, 0xFC}, byte(1))
	f.Fuzz(func(t *testing.T, b []byte, piece byte) {
		s := &Server{unauthorized: newSources(Rate{}, 1)}
		c := &stream{
			Conn: &pieces{rest: b, size: int(piece) + 1}, server: s, peer: netip.MustParseAddrPort("192.0.2.9:1"),
			buffer: make([]byte, firstBuffer),
		}
		p := make([]byte, maxRequest+1)
		read := 0
		for {
			n, err := c.Read(p)
			if err != nil {
				break
			}
			read += n
			if !isMessage(p[:n]) || read > len(b) {
				t.Fatalf("%d bytes: %x", n, p[:n])
			}
		}
		if len(c.buffer) > maxFrame {
			t.Fatalf("the buffer grew to %d bytes", len(c.buffer))
		}
	})
}

// pieces is a connection that yields size bytes a time and swallows what is written.
type pieces struct {
	net.Conn
	rest []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, net.ErrClosed
	}
	n := copy(b[:min(len(b), p.size)], p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *pieces) Write(b []byte) (int, error)      { return len(b), nil }
func (p *pieces) SetWriteDeadline(time.Time) error { return nil }

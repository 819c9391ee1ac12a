package turn

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

var testFrom = map[string]netip.AddrPort{
	"IPv4":        netip.MustParseAddrPort("192.0.2.1:32853"),
	"IPv6":        netip.MustParseAddrPort("[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
	"IPv4-mapped": netip.MustParseAddrPort("[::ffff:192.0.2.1]:32853"),
}

func build(t testing.TB, setters ...stun.Setter) []byte {
	t.Helper()
	m, err := stun.Build(append([]stun.Setter{stun.TransactionID}, setters...)...)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

func TestBindingResponse(t *testing.T) {
	plain := build(t, stun.BindingRequest)
	for family, from := range testFrom {
		for name, request := range map[string][]byte{
			"plain":       plain,
			"fingerprint": build(t, stun.BindingRequest, stun.NewSoftware("client"), stun.Fingerprint),
		} {
			t.Run(family+"/"+name, func(t *testing.T) {
				prefix := []byte("before")
				response, ok := AppendBindingResponse(prefix, request, from)
				if !ok || !bytes.HasPrefix(response, prefix) {
					t.Fatal("no response behind what was there")
				}
				response = response[len(prefix):]
				m := &stun.Message{Raw: response}
				if err := m.Decode(); err != nil {
					t.Fatal(err)
				}
				var a stun.XORMappedAddress
				if err := a.GetFrom(m); err != nil {
					t.Fatal(err)
				}
				want := from.Addr().Unmap()
				if m.Type != stun.BindingSuccess || a.Port != int(from.Port()) || !a.IP.Equal(want.AsSlice()) ||
					!bytes.Equal(m.TransactionID[:], request[8:20]) {
					t.Fatalf("response %v with %v", m, a)
				}
				if m.Contains(stun.AttrFingerprint) != (name == "fingerprint") {
					t.Fatalf("fingerprint in %v", m)
				}
				if name == "fingerprint" {
					if err := stun.Fingerprint.Check(m); err != nil {
						t.Fatal(err)
					}
				}
				if len(response) > len(request)+24 {
					t.Fatalf("%d bytes for %d", len(response), len(request))
				}
			})
		}
	}
}

func TestBindingWithUnknownAttributes(t *testing.T) {
	request := build(t, stun.BindingRequest, stun.RawAttribute{Type: stun.AttrChangeRequest, Value: []byte{0, 0, 0, 6}},
		stun.RawAttribute{Type: 0x7F01}, stun.RawAttribute{Type: 0x7F02}, stun.RawAttribute{Type: 0x8F02})
	response, ok := AppendBindingResponse(nil, request, testFrom["IPv4"])
	m := &stun.Message{Raw: response}
	if !ok || m.Decode() != nil {
		t.Fatalf("response %x", response)
	}
	var code stun.ErrorCodeAttribute
	var unknown stun.UnknownAttributes
	if code.GetFrom(m) != nil || unknown.GetFrom(m) != nil {
		t.Fatalf("response %v", m)
	}
	if m.Type != stun.BindingError || code.Code != stun.CodeUnknownAttribute || len(unknown) != 3 || unknown[0] != stun.AttrChangeRequest {
		t.Fatalf("response %v: %d %v", m, code.Code, unknown)
	}
}

func TestBindingThatIsNotOurs(t *testing.T) {
	plain := build(t, stun.BindingRequest)
	cut := bytes.Clone(plain)
	cut[3] = 4
	cookie := bytes.Clone(plain)
	cookie[4]++
	overrun := append(bytes.Clone(plain), 0x80, 0x22, 0, 8)
	overrun[3] = 4
	for name, request := range map[string][]byte{
		"empty":        {},
		"ICE":          build(t, stun.BindingRequest, stun.NewUsername("a:b")),
		"ICE, unnamed": build(t, stun.BindingRequest, stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{1, 2, 3, 4}}),
		"response":     build(t, stun.BindingSuccess),
		"indication":   build(t, stun.NewType(stun.MethodBinding, stun.ClassIndication)),
		"allocate":     build(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest)),
		"length":       cut,
		"cookie":       cookie,
		"overrun":      overrun,
		"trailing":     append(bytes.Clone(plain), 0, 0, 0, 0),
	} {
		if response, ok := AppendBindingResponse(nil, request, testFrom["IPv4"]); ok || len(response) != 0 {
			t.Errorf("%s: %x", name, response)
		}
	}
	if _, ok := AppendBindingResponse(nil, plain, netip.AddrPort{}); ok {
		t.Error("answered to nowhere")
	}
}

func TestBindingResponseDoesNotAllocate(t *testing.T) {
	request, dst := build(t, stun.BindingRequest), make([]byte, 0, 100)
	if n := testing.AllocsPerRun(100, func() { AppendBindingResponse(dst, request, testFrom["IPv6"]) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

// RFC 5769 section 2.4: a request with long-term credentials.
func TestIntegrityOfRFC5769(t *testing.T) {
	b, err := hex.DecodeString(strings.Join(strings.Fields(`
		00010060 2112a442 78ad3433 c6ad72c0 29da412e
		00060012 e3839ee3 8388e383 aae38383e3 82afe382 b90000
		0015001c 662f2f34 39396b39 35346436 4f4c3334 6f4c3946 53547679 36347341
		0014000b 6578616d 706c652e 6f7267 00
		00080014 f6702465 6dd64a3e 02b8e071 2e85c9a2 8ca89666`), ""))
	if err != nil {
		t.Fatal(err)
	}
	key := longTermKey("\u30de\u30c8\u30ea\u30c3\u30af\u30b9", "example.org", "TheMatrIX")
	if !isMessage(b) || !verify(b, key) {
		t.Fatal("the vector does not verify")
	}
	for i := range b {
		damaged := bytes.Clone(b)
		damaged[i] ^= 1
		if i != 2 && i != 3 && verify(damaged, key) {
			t.Fatalf("verifies with byte %d changed", i)
		}
	}
	if verify(b[:20], key) || verify(nil, key) {
		t.Fatal("verifies without a signature")
	}
	sign(b, []byte("another key"))
	if verify(b, key) || !verify(b, []byte("another key")) {
		t.Fatal("not signed anew")
	}
}

func TestFinish(t *testing.T) {
	cfg := testConfig()
	cfg.MaxLifetime = 20 * time.Minute
	s := &Server{cfg: cfg}
	key := stun.NewLongTermIntegrity("ann", testRealm, "pw")
	allocated := stun.NewType(stun.MethodAllocate, stun.ClassSuccessResponse)
	refused := stun.NewType(stun.MethodChannelBind, stun.ClassErrorResponse)
	lifetime := func(seconds ...byte) stun.RawAttribute {
		return stun.RawAttribute{Type: stun.AttrLifetime, Value: seconds}
	}
	code := func(c stun.ErrorCode) stun.Setter { return &stun.ErrorCodeAttribute{Code: c} }
	for name, c := range map[string]struct {
		answer, want []stun.Setter
		timer        bool
	}{
		"short enough":    {[]stun.Setter{allocated, lifetime(0, 0, 2, 88), key}, []stun.Setter{allocated, lifetime(0, 0, 2, 88), key}, false},
		"capped":          {[]stun.Setter{allocated, lifetime(0, 0, 14, 16), key}, []stun.Setter{allocated, lifetime(0, 0, 4, 176), key}, true},
		"no number":       {[]stun.Setter{allocated, lifetime(9, 9), key}, []stun.Setter{allocated, lifetime(9, 9), key}, false},
		"denied peer":     {[]stun.Setter{refused, code(401), key}, []stun.Setter{refused, code(403), key}, false},
		"no credentials":  {[]stun.Setter{refused, code(401)}, []stun.Setter{refused, code(401)}, false},
		"another refusal": {[]stun.Setter{refused, code(400), key}, []stun.Setter{refused, code(400), key}, false},
	} {
		t.Run(name, func(t *testing.T) {
			id := stun.NewTransactionIDSetter([12]byte{7})
			got := stun.MustBuild(append([]stun.Setter{id}, c.answer...)...).Raw
			want := stun.MustBuild(append([]stun.Setter{id}, c.want...)...).Raw
			r := &relay{server: s, key: key}
			r.finish(got)
			if !bytes.Equal(got, want) {
				t.Fatalf("\n%x, not\n%x", got, want)
			}
			if (r.lifetime != nil) != c.timer {
				t.Fatalf("timer: %v", r.lifetime != nil)
			}
			r.expireIn(0)
		})
	}
	(&relay{server: s}).finish([]byte{0x40, 0, 0, 0}) // no STUN
}

package ice

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/stun/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The test vectors of RFC 5769 sections 2.1 and 2.2.
const (
	vectorPassword = "VOkJxbRl1RmTxUk/WvJxBt"
	vectorRequest  = "000100582112a442b7e7a701bc34d686fa87dfae80220010" + "5354554e207465737420636c69656e74" +
		"002400046e0001ff" + "80290008932ff9b151263b36" + "000600096576746a3a68367659202020" +
		"000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2" + "80280004e57a3bcf"
	vectorResponse = "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b" + "7465737420766563746f7220" +
		"002000080001a147e112a643" + "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7" + "80280004c07d4c96"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseVectors(t *testing.T) {
	key := NewKey(vectorPassword)
	var m Message
	if err := Parse(unhex(t, vectorRequest), &m); err != nil {
		t.Fatal(err)
	}
	local, remote := Username(&m)
	switch {
	case m.Class != Request || m.Method != MethodBinding:
		t.Errorf("class %v, method %d", m.Class, m.Method)
	case string(local) != "evtj" || string(remote) != "h6vY":
		t.Errorf("username %q %q", local, remote)
	case m.Priority != 0x6e0001ff || !m.Controlled || m.Controlling || m.TieBreaker != 0x932ff9b151263b36:
		t.Errorf("priority %x, controlled %v, controlling %v, tie-breaker %x", m.Priority, m.Controlled, m.Controlling, m.TieBreaker)
	case !m.Fingerprint || !m.Authentic(key) || !m.Authentic(key):
		t.Error("not authentic")
	case m.Authentic(NewKey("another")):
		t.Error("authentic with another password")
	}
	if err := Parse(unhex(t, vectorResponse), &m); err != nil {
		t.Fatal(err)
	}
	if m.Class != Success || m.Mapped != netip.MustParseAddrPort("192.0.2.1:32853") || !m.Authentic(key) || m.Username != nil {
		t.Errorf("response %+v", m)
	}
}

func TestParseRefuses(t *testing.T) {
	good := unhex(t, vectorRequest)
	change := func(at int, v ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], v)
		return b
	}
	attribute := func(typ uint16, value ...byte) []byte {
		b := binary.BigEndian.AppendUint16(bytes.Clone(good[:headerLen]), typ)
		b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
		b = appendPadding(append(b, value...), len(value))
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)-headerLen))
		return b
	}
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"empty", nil, ErrNotSTUN},
		{"short", good[:19], ErrNotSTUN},
		{"RTP", change(0, 0x80), ErrNotSTUN},
		{"cookie", change(4, 0), ErrNotSTUN},
		{"cut", good[:len(good)-4], ErrMalformed},
		{"longer", append(bytes.Clone(good), 0, 0, 0, 0), ErrMalformed},
		{"odd length", append(change(2, 0, 0x59), 0), ErrMalformed},
		{"attribute too long", change(22, 0xFF, 0xFF), ErrMalformed},
		{"fingerprint", change(len(good)-1, 0), ErrFingerprint},
		{"content", change(26, 1), ErrFingerprint},
		{"fingerprint not last", change(20, 0x80, 0x28, 0, 4), ErrMalformed},
		{"short integrity", attribute(attrIntegrity, 1, 2, 3, 4), ErrMalformed},
		{"short priority", attribute(attrPriority, 1, 2), ErrMalformed},
		{"short tie-breaker", attribute(attrControlling, 1, 2, 3, 4), ErrMalformed},
		{"long username", attribute(attrUsername, make([]byte, maxUsername+1)...), ErrMalformed},
		{"mapped family", attribute(attrXORMappedAddress, 0, 3, 1, 2, 1, 2, 3, 4), ErrMalformed},
		{"mapped short", attribute(attrXORMappedAddress, 0, 2, 1, 2, 1, 2, 3, 4), ErrMalformed},
		{"error code short", attribute(attrErrorCode, 0), ErrMalformed},
		{"no attributes", append(change(2, 0, 0)[:headerLen:headerLen], []byte{}...), nil},
		{"empty username", attribute(attrUsername), nil},
	} {
		var m Message
		if err := Parse(c.b, &m); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// Attributes behind MESSAGE-INTEGRITY are not protected by it and must not count.
func TestParseIgnoresWhatFollowsIntegrity(t *testing.T) {
	msg := stun.MustBuild(stun.BindingRequest, stun.TransactionID, stun.NewUsername("a:b"), stun.NewShortTermIntegrity("pwd"))
	msg.Add(stun.AttrUseCandidate, nil)
	msg.Add(stun.AttrPriority, []byte{1, 2, 3, 4})
	msg.Add(0x7777, nil)
	var m Message
	if err := Parse(msg.Raw, &m); err != nil {
		t.Fatal(err)
	}
	if m.UseCandidate || m.Priority != 0 || len(m.Unknown()) != 0 || !m.Authentic(NewKey("pwd")) {
		t.Errorf("parsed %+v", m)
	}
}

func TestUsername(t *testing.T) {
	for in, want := range map[string][2]string{
		"a:b": {"a", "b"}, "a:b:c": {"a", "b:c"}, ":b": {"", "b"}, "a:": {"a", ""}, "ab": {"", ""}, "": {"", ""},
	} {
		local, remote := Username(&Message{Username: []byte(in)})
		if string(local) != want[0] || string(remote) != want[1] {
			t.Errorf("%q: %q %q", in, local, remote)
		}
		if (local == nil) != !strings.Contains(in, ":") {
			t.Errorf("%q: nil %v", in, local == nil)
		}
	}
}

// What we write, pion reads.
func TestReplies(t *testing.T) {
	const pwd = "averylongpasswordofsome24"
	req := stun.MustBuild(stun.BindingRequest, stun.TransactionID, stun.NewUsername("a:b"))
	for i := range 12 {
		req.Add(stun.AttrType(0x7000+i), []byte{1, 2, 3})
	}
	var m Message
	if err := Parse(req.Raw, &m); err != nil {
		t.Fatal(err)
	}
	decode := func(b []byte) *stun.Message {
		t.Helper()
		got := &stun.Message{Raw: b}
		if err := got.Decode(); err != nil {
			t.Fatal(err)
		}
		if err := got.Check(stun.Fingerprint); err != nil {
			t.Error(err)
		}
		if got.TransactionID != req.TransactionID {
			t.Error("transaction id differs")
		}
		if len(b) > ReplyLen {
			t.Errorf("reply of %d bytes", len(b))
		}
		return got
	}
	prefix := []byte("prefix")
	for _, addr := range []string{"192.0.2.7:5000", "[2001:db8::7]:65535", "[::ffff:192.0.2.7]:1"} {
		from := netip.MustParseAddrPort(addr)
		b := AppendSuccess(bytes.Clone(prefix), &m, from, NewKey(pwd))
		if !bytes.HasPrefix(b, prefix) {
			t.Fatal("prefix lost")
		}
		got := decode(b[len(prefix):])
		var mapped stun.XORMappedAddress
		if err := mapped.GetFrom(got); err != nil {
			t.Fatal(err)
		}
		if a, _ := netip.AddrFromSlice(mapped.IP); a.Unmap() != from.Addr().Unmap() || mapped.Port != int(from.Port()) {
			t.Errorf("mapped %v, want %v", mapped, from)
		}
		if got.Type != stun.BindingSuccess || stun.NewShortTermIntegrity(pwd).Check(got) != nil {
			t.Errorf("%v: type %v or integrity wrong", addr, got.Type)
		}
		var own Message
		if err := Parse(b[len(prefix):], &own); err != nil || own.Mapped.Addr() != from.Addr().Unmap() || own.Mapped.Port() != from.Port() {
			t.Errorf("own parser: %v %v", own.Mapped, err)
		}
	}
	for _, code := range []int{CodeBadRequest, CodeUnauthenticated, CodeUnknownAttribute, CodeRoleConflict} {
		b := AppendFailure(nil, &m, code, NewKey(pwd))
		got := decode(b)
		var ec stun.ErrorCodeAttribute
		if err := ec.GetFrom(got); err != nil || int(ec.Code) != code || string(ec.Reason) != reason(code) {
			t.Errorf("code %d: %v %v", code, ec, err)
		}
		var ua stun.UnknownAttributes
		if err := ua.GetFrom(got); (err == nil) != (code == CodeUnknownAttribute) || err == nil && (len(ua) != maxUnknown || ua[1] != 0x7001) {
			t.Errorf("code %d: unknown attributes %v %v", code, ua, err)
		}
		var own Message
		if err := Parse(b, &own); err != nil || own.Class != Failure || own.ErrorCode != code || !own.Authentic(NewKey(pwd)) {
			t.Errorf("own parser: %+v %v", own, err)
		}
	}
	if got := decode(AppendFailure(nil, &m, CodeUnauthenticated, nil)); got.Contains(stun.AttrMessageIntegrity) {
		t.Error("unauthenticated reply has integrity")
	}
}

// FuzzParse compares with pion: what we accept, pion reads the same, and integrity is judged alike.
func FuzzParse(f *testing.F) {
	f.Add(unhex(f, vectorRequest))
	f.Add(unhex(f, vectorResponse))
	f.Add(stun.MustBuild(stun.BindingRequest, stun.TransactionID, stun.NewUsername("a:b"), stun.NewShortTermIntegrity("x"), stun.Fingerprint).Raw)
	key, oracle := NewKey(vectorPassword), stun.NewShortTermIntegrity(vectorPassword)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Message
		if Parse(b, &m) != nil {
			return
		}
		p := &stun.Message{Raw: bytes.Clone(b)}
		if err := p.Decode(); err != nil {
			t.Fatalf("pion refuses: %v", err)
		}
		if stun.NewType(stun.Method(m.Method), stun.MessageClass(m.Class)) != p.Type {
			t.Fatalf("type %v %v, pion %v", m.Method, m.Class, p.Type)
		}
		if m.Fingerprint && stun.Fingerprint.Check(p) != nil {
			t.Fatal("pion finds the fingerprint wrong")
		}
		if got, want := m.Authentic(key), oracle.Check(p) == nil; got != want {
			t.Fatalf("authentic %v, pion %v", got, want)
		}
		if v, err := p.Get(stun.AttrUsername); m.Username != nil && (err != nil || !bytes.Equal(v, m.Username)) {
			t.Fatalf("username %q, pion %q %v", m.Username, v, err)
		}
		// The first byte of the address is to be ignored (RFC 8489 section 14.1), which pion does not.
		if v, _ := p.Get(stun.AttrXORMappedAddress); m.Mapped.IsValid() && v[0] == 0 {
			var mapped stun.XORMappedAddress
			if err := mapped.GetFrom(p); err != nil || mapped.Port != int(m.Mapped.Port()) {
				t.Fatalf("mapped %v, pion %v %v", m.Mapped, mapped, err)
			}
		}
		if r := AppendSuccess(nil, &m, netip.MustParseAddrPort("[::1]:1"), key); len(r) > ReplyLen {
			t.Fatal("reply too long")
		}
	})
}

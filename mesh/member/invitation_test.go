package member

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"cardea/relay/link"
)

// sampleInvitation is one with an address of each family.
func sampleInvitation(t testing.TB, a *authority, i invitation) invitation {
	t.Helper()
	i.Issuer, i.Uses = idOf(a.public()), 3
	i.Expires = time.Now().Add(time.Hour)
	i.Addresses = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7947"), netip.MustParseAddrPort("[2001:db8::1]:7947")}
	inv, err := newInvitation(a, i)
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func TestInvitationText(t *testing.T) {
	a := newSigner(t).a
	inv := sampleInvitation(t, a, invitation{Authority: true})
	text := inv.text()
	t.Logf("%d characters: %s", len(text), text)
	got, err := parseInvitation(text)
	if err != nil {
		t.Fatal(err)
	}
	if got.text() != text || !got.Expires.Equal(inv.Expires) || got.Issuer != inv.Issuer || len(got.Addresses) != 2 || !got.Authority || got.Uses != 3 {
		t.Errorf("%+v", got)
	}
	if !genuine(a, got.claims(), got.hash(), got.Signature[:]) {
		t.Error("it does not pass for the authority's")
	}
	changed := got
	changed.Authority = false
	if genuine(a, changed.claims(), got.hash(), got.Signature[:]) {
		t.Error("its claims may be changed")
	}
	if genuine(newSigner(t).a, got.claims(), got.hash(), got.Signature[:]) {
		t.Error("it passes for another authority's")
	}
	for name, bad := range map[string]string{
		"empty": "", "prefix alone": InvitationPrefix, "cut": text[:len(text)-1], "cut more": text[:60], "longer": text + "AAAA",
		"another prefix": "x" + text, "a line break": text[:50] + "\n" + text[50:], "another version": InvitationPrefix + "Aw" + text[len(InvitationPrefix)+2:],
		"no base64": InvitationPrefix + strings.Repeat("!", 100), "spaces": text + " ",
	} {
		if _, err := parseInvitation(bad); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}

func TestLedger(t *testing.T) {
	now := time.Unix(1000, 0)
	inv := invitation{Uses: 2, Expires: now.Add(time.Minute), Authority: true, Key: [16]byte{1}}
	var l ledger
	if err := l.add(inv, now); err != nil {
		t.Fatal(err)
	}
	for _, e := range l.Open {
		if bytes.Contains(e.Hash, inv.Key[:]) {
			t.Error("the key is kept")
		}
	}
	steps := []struct {
		key   byte
		id    link.NodeID
		after time.Duration
		ok    bool
	}{
		{2, "a", 0, false},
		{1, "a", 0, true},
		{1, "a", 0, true}, // again: the answer may have been lost
		{1, "b", 0, true},
		{1, "c", 0, false},
		{1, "b", 59 * time.Second, true},
		{1, "a", time.Minute, false},
	}
	for i, s := range steps {
		key := [16]byte{s.key}
		authority, ok := l.redeem(key[:], s.id, now.Add(s.after))
		if ok != s.ok || authority != s.ok {
			t.Errorf("step %d: %v %v", i, ok, authority)
		}
	}
	if len(l.Open) != 0 {
		t.Errorf("what has expired is kept: %+v", l.Open)
	}
	for i := range maxInvitations {
		inv.Key = [16]byte{byte(i), byte(i >> 8)}
		if err := l.add(inv, now); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.add(inv, now); err == nil {
		t.Error("the ledger has no bound")
	}
	if err := l.add(inv, now.Add(time.Hour)); err != nil {
		t.Errorf("after the others have expired: %v", err)
	}
}

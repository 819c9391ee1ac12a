package turn

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
)

func TestCredentials(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	u, p := Credentials("north", "eve", time.Hour, now)
	// openssl: printf 1700003600:eve | openssl dgst -sha1 -hmac north -binary | base64
	if u != "1700003600:eve" || p != "LpoHWqHhCmzkFtcRGt6kQxBonQ8=" {
		t.Errorf("%s %s", u, p)
	}
	if u, _ := Credentials("north", "", time.Hour, now); u != "1700003600" {
		t.Errorf("without user: %s", u)
	}
	u, p, err := turn.GenerateLongTermTURNRESTCredentials("north", "eve", time.Hour)
	if err != nil || p != restPassword("north", u) {
		t.Errorf("pion's password for %s is %s (%v)", u, p, err)
	}
}

func TestCandidates(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	key := "0x00112233445566778899aabbccddeeff"
	k := newKeyring("r", map[string]string{"ann": "pw", "1700000100:both": "pw", "hex": key, "0xshort": "0x1234"}, []string{"a", "b"})
	none := newKeyring("r", map[string]string{"ann": "pw"}, nil)
	for _, c := range []struct {
		ring *keyring
		name string
		user string
		keys int
	}{
		{k, "ann", "ann", 1},
		{k, "bob", "bob", 0},
		{k, "", "", 0},
		{k, ":", ":", 0},
		{k, "1700000000:eve", "eve", 2},
		{k, "1699999999:eve", "1699999999:eve", 0}, // expired
		{k, "1700000001", "1700000001", 2},
		{k, "eve:1700000001", "eve", 2}, // coturn's other form
		{k, "-1700000001:eve", "-1700000001:eve", 0},
		{k, "99999999999999999999:eve", "99999999999999999999:eve", 0},
		{k, "9223372036854775807:eve", "eve", 2},
		{k, "1700000100:both", "both", 3},
		{k, "1700000100:" + strings.Repeat("x", maxUsername), "", 0},
		{none, "1700000100:eve", "1700000100:eve", 0},
	} {
		user, keys := c.ring.candidates(c.name, now)
		if user != c.user || len(keys) != c.keys {
			t.Errorf("%.30q: user %.30q with %d keys", c.name, user, len(keys))
		}
	}
	_, keys := k.candidates("ann", now)
	if want := stun.NewLongTermIntegrity("ann", "r", "pw"); !bytes.Equal(keys[0], want) {
		t.Errorf("key %x, pion's %x", keys[0], []byte(want))
	}
	if _, keys := k.candidates("hex", now); !bytes.Equal(keys[0], []byte{0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}) {
		t.Errorf("hex key %x", keys[0])
	}
}

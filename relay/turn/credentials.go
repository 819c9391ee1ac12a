package turn

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// Credentials mints short-lived credentials for the shared secret, in the form of the TURN REST API
// (draft-uberti-behave-turn-rest): the user name is the expiry in Unix seconds and, if user is not empty, a colon and the
// user; the password is base64(HMAC-SHA1(secret, user name)). A server with that secret knows them without being told.
func Credentials(secret, user string, ttl time.Duration, now time.Time) (username, password string) {
	username = strconv.FormatInt(now.Add(ttl).Unix(), 10)
	if user != "" {
		username += ":" + user
	}
	return username, restPassword(secret, username)
}

func restPassword(secret, username string) string {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(username))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// maxUsername is the longest USERNAME of RFC 8489 section 14.3.
const maxUsername = 508

// keyring knows who may authenticate. It is immutable.
type keyring struct {
	realm   string
	users   map[string][]byte // keys
	secrets []string
}

func newKeyring(realm string, users map[string]string, secrets []string) *keyring {
	k := &keyring{realm: realm, users: make(map[string][]byte, len(users)), secrets: secrets}
	for name, password := range users {
		if key, err := hex.DecodeString(strings.TrimPrefix(password, "0x")); err == nil && len(key) == md5.Size &&
			strings.HasPrefix(password, "0x") {
			k.users[name] = key
			continue
		}
		k.users[name] = longTermKey(name, realm, password)
	}
	return k
}

// longTermKey is the key of long-term credentials (RFC 8489 section 9.2.2). Passwords are taken as they are, without
// SASLprep, as all known servers do.
func longTermKey(username, realm, password string) []byte {
	sum := md5.Sum([]byte(username + ":" + realm + ":" + password))
	return sum[:]
}

// candidates returns the keys of which any may have signed a request of that user name at that time, and the user that
// quotas count: for short-lived credentials the part that stays when they are renewed.
func (k *keyring) candidates(username string, now time.Time) (user string, keys [][]byte) {
	if len(username) > maxUsername {
		return "", nil
	}
	user = username
	if key, ok := k.users[username]; ok {
		keys = append(keys, key)
	}
	if len(k.secrets) == 0 {
		return user, keys
	}
	expiry, name, ok := parseREST(username)
	if !ok || expiry < now.Unix() {
		return user, keys
	}
	if name != "" {
		user = name
	}
	for _, secret := range k.secrets {
		keys = append(keys, longTermKey(username, k.realm, restPassword(secret, username)))
	}
	return user, keys
}

// parseREST reads "expiry", "expiry:user" or, as coturn does, "user:expiry" if the first part is no number.
func parseREST(username string) (expiry int64, user string, ok bool) {
	first, second, _ := strings.Cut(username, ":")
	if t, err := strconv.ParseUint(first, 10, 63); err == nil {
		return int64(t), second, true
	}
	if t, err := strconv.ParseUint(second, 10, 63); err == nil {
		return int64(t), first, true
	}
	return 0, "", false
}

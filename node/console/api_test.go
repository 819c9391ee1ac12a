package console

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestNoSecrets looks through all that the API answers for what lets its reader act for somebody else: ids of sessions, secrets and
// pins of rooms, tokens. What is meant for who asks is no such thing: TURN credentials, and what a page must know.
func TestNoSecrets(t *testing.T) {
	bad := []string{"session", "session_id", "private_id", "secret", "pin", "token", "password", "key"}
	seen := map[reflect.Type]bool{}
	var look func(of reflect.Type, path string)
	look = func(of reflect.Type, path string) {
		switch of.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			look(of.Elem(), path)
		case reflect.Struct:
			if seen[of] {
				return
			}
			seen[of] = true
			for f := range of.Fields() {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				if slices.Contains(bad, strings.ToLower(name)) || slices.Contains(bad, strings.ToLower(f.Name)) {
					t.Errorf("%s.%s (%s) is told", path, f.Name, name)
				}
				look(f.Type, path+"."+f.Name)
			}
		default:
		}
	}
	for _, v := range []any{
		Status{}, Rooms{}, RoomPage{}, RoomView{}, QualityView{}, Overview{}, MeshNodes{}, MeshStreams{}, Operating{}, Drained{}, Peer{},
	} {
		look(reflect.TypeOf(v), reflect.TypeOf(v).Name())
	}
	if !seen[reflect.TypeFor[QualityPoint]()] || !seen[reflect.TypeFor[OverviewLink]()] {
		t.Error("not all was looked at")
	}
}

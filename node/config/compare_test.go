package config

import (
	"slices"
	"testing"
)

func TestChanged(t *testing.T) {
	old, err := Parse("a", []byte("log: {level: info}\nturn: {secrets: [one]}\njanus: {api_secret: x}\n"))
	if err != nil {
		t.Fatal(err)
	}
	now, err := Parse("b", []byte("log: {level: debug}\nturn: {secrets: [one, two]}\njanus: {api_secret: y, ws_port: 8188}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"log.level", "janus.api_secret", "turn.secrets"}
	if got := Changed(old, now); !slices.Equal(got, want) {
		t.Errorf("changed: %v, want %v", got, want)
	}
	if got := Changed(old, old); got != nil {
		t.Errorf("changed from itself: %v", got)
	}
	for _, option := range want {
		old.Take(now, option)
	}
	old.Take(now, "log.colour")
	if got := Changed(old, now); got != nil {
		t.Errorf("still changed after all was taken: %v", got)
	}
	if now.Log.Level != old.Log.Level || old.Janus.APISecret != "y" || len(old.TURN.Secrets) != 2 {
		t.Errorf("not taken: %+v", old)
	}
}

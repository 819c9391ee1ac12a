package load

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"cardea/e2e/load/internal/janus"
)

const plugin = "janus.plugin.videoroom"

// object is the body of a request.
type object = map[string]any

// room is one of the run's rooms. Ids stay as the server wrote them, numbers or strings.
type room struct {
	id     json.RawMessage
	secret string
	feeds  []json.RawMessage // of its publishers
}

// rooms makes rooms and unmakes them.
type rooms struct {
	client *janus.Client
	handle *janus.Handle
	made   []*room
}

// makeRooms makes cfg.Rooms rooms. What was made is returned even with an error: close it.
func makeRooms(ctx context.Context, cfg *Config) (*rooms, error) {
	r := &rooms{}
	ctx, cancel := context.WithTimeout(ctx, cfg.JoinTimeout)
	defer cancel()
	var err error
	if r.client, err = janus.Dial(ctx, cfg.URL, cfg.credentials()); err != nil {
		return r, err
	}
	if r.handle, err = r.client.Attach(ctx, plugin, nil); err != nil {
		return r, err
	}
	for range cfg.Rooms {
		request := object{
			"request": "create", "description": "load test", "is_private": true, "permanent": false, "secret": rand.Text(),
			"publishers": cfg.Publishers, "bitrate": 0, "audiocodec": "opus", "videocodec": "vp8",
		}
		if cfg.AdminKey != "" {
			request["admin_key"] = cfg.AdminKey
		}
		var made struct {
			Room json.RawMessage `json:"room"`
		}
		if _, err := r.handle.Request(ctx, request, nil, &made); err != nil {
			return r, fmt.Errorf("create room: %w", err)
		}
		r.made = append(r.made, &room{id: made.Room, secret: request["secret"].(string)})
	}
	return r, nil
}

// close destroys the rooms.
func (r *rooms) close(ctx context.Context, cfg *Config) error {
	if r.client == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.JoinTimeout)
	defer cancel()
	var errs []error
	for _, m := range r.made {
		if _, err := r.handle.Request(ctx, object{"request": "destroy", "room": m.id, "secret": m.secret}, nil, nil); err != nil {
			errs = append(errs, fmt.Errorf("destroy room: %w", err))
		}
	}
	return errors.Join(append(errs, r.client.Close(ctx))...)
}

func (c *Config) credentials() janus.Credentials {
	return janus.Credentials{APISecret: c.APISecret, Token: c.Token}
}

package videoroom

import (
	"context"
	"slices"
	"strings"

	"cardea/signaling/janus"
)

// maxTokens bounds the tokens of a room.
const maxTokens = 100_000

// allowed manages the tokens of which publishers must show one.
func (p *Plugin) allowed(ctx context.Context, body janus.Object) (object, error) {
	if err := check(body, p.ids.param("room", true), janus.Param{Name: "secret", Type: janus.String},
		janus.Param{Name: "action", Type: janus.String, Required: true}, janus.Param{Name: "allowed", Type: janus.Array}); err != nil {
		return nil, err
	}
	action := strings.ToLower(body.String("action"))
	switch action {
	case "enable", "disable", "add", "remove":
	default:
		return nil, refuse(codeInvalidElement, "Unsupported action '%s' (allowed)", body.String("action"))
	}
	return p.change(ctx, body, false, func(r *room, c *RoomConfig) (object, error) {
		switch action {
		case "enable", "disable":
			c.CheckAllowed = action == "enable"
		default:
			list, err := tokens(body)
			if err != nil {
				return nil, err
			}
			if err := c.changeAllowed(list, action == "add"); err != nil {
				return nil, err
			}
		}
		reply := object{"videoroom": "success", "room": r.id}
		if action != "disable" {
			reply["allowed"] = c.Allowed
		}
		return reply, nil
	})
}

// changeAllowed adds tokens or removes them. They stay sorted, each of them once.
func (c *RoomConfig) changeAllowed(list []string, add bool) error {
	if add && len(c.Allowed)+len(list) > maxTokens {
		return refuse(codeUnknown, "Too many tokens")
	}
	if add {
		c.Allowed = append(c.Allowed, list...)
		slices.Sort(c.Allowed)
		c.Allowed = slices.Compact(c.Allowed)
		return nil
	}
	c.Allowed = slices.DeleteFunc(c.Allowed, func(t string) bool { return slices.Contains(list, t) })
	return nil
}

func (r *room) allowedTokens() []string {
	list := make([]string, 0, len(r.allowed))
	for t := range r.allowed {
		list = append(list, t)
	}
	slices.Sort(list)
	return list
}

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
func (p *Plugin) allowed(_ context.Context, body janus.Object) (object, error) {
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
	return p.manage(body, func(r *room) (object, error) {
		switch action {
		case "enable", "disable":
			r.cfg.CheckAllowed = action == "enable"
		default:
			list, err := tokens(body)
			if err != nil {
				return nil, err
			}
			if err := r.changeAllowed(list, action == "add"); err != nil {
				return nil, err
			}
		}
		reply := object{"videoroom": "success", "room": r.id}
		if action != "disable" {
			reply["allowed"] = r.allowedTokens()
		}
		return reply, nil
	})
}

// changeAllowed adds tokens or removes them.
func (r *room) changeAllowed(list []string, add bool) error {
	if add && len(r.allowed)+len(list) > maxTokens {
		return refuse(codeUnknown, "Too many tokens")
	}
	for _, t := range list {
		if add {
			r.allowed[t] = struct{}{}
		} else {
			delete(r.allowed, t)
		}
	}
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

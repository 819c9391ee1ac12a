package janus

import (
	"maps"
	"slices"
)

// tokenVerbs manage the stored tokens. Whether there are any is looked at before the request's fields.
var tokenVerbs = map[string]adminVerb{
	"add_token": {nil, stored(tokenParams, func(c *adminCall, t *Tokens, token string) (object, *Error) {
		plugins, fault := c.tokenPlugins()
		if fault != nil {
			return nil, fault
		}
		if len(plugins) == 0 {
			plugins = slices.Sorted(maps.Keys(c.server.plugins))
		}
		return allowed(t.Add(token, plugins...)), nil
	})},
	"allow_token":    {nil, stored(tokenParams, changeToken((*Tokens).Allow))},
	"disallow_token": {nil, stored(tokenParams, changeToken((*Tokens).Disallow))},
	"remove_token": {nil, stored(tokenParams[:1], func(_ *adminCall, t *Tokens, token string) (object, *Error) {
		if !t.Remove(token) {
			return nil, errorf(CodeUnknown, "Error removing token")
		}
		return object{}, nil
	})},
	"list_tokens": {nil, stored(nil, func(_ *adminCall, t *Tokens, _ string) (object, *Error) {
		type entry struct {
			Token   string   `json:"token"`
			Plugins []string `json:"allowed_plugins"`
		}
		l := []entry{}
		all := t.List()
		for _, token := range slices.Sorted(maps.Keys(all)) {
			if plugins := all[token]; len(plugins) > 0 { // one that allows nothing is not told of, as in Janus
				l = append(l, entry{token, plugins})
			}
		}
		return object{"data": object{"tokens": l}}, nil
	})},
}

var tokenParams = []Param{{Name: "token", Type: String, Required: true}, {Name: "plugins", Type: Array}}

// stored wraps what is done to the stored tokens.
func stored(params []Param, do func(c *adminCall, t *Tokens, token string) (object, *Error)) func(*adminCall) (object, *Error) {
	return func(c *adminCall) (object, *Error) {
		t := c.server.Tokens()
		if t == nil {
			return nil, errorf(CodeUnknown, "Stored-Token based authentication disabled")
		}
		if err := c.Check(params...); err != nil {
			return nil, elementError(err)
		}
		return do(c, t, c.String("token"))
	}
}

// changeToken changes what a token that there is already allows.
func changeToken(change func(t *Tokens, token string, plugins ...string) ([]string, bool)) func(*adminCall, *Tokens, string) (object, *Error) {
	return func(c *adminCall, t *Tokens, token string) (object, *Error) {
		if len(c.Array("plugins")) == 0 {
			return nil, errorf(CodeInvalidElement, "Invalid element type (plugins should be a non-empty array)")
		}
		plugins, fault := c.tokenPlugins()
		if fault != nil {
			return nil, fault
		}
		l, ok := change(t, token, plugins...)
		if !ok {
			return nil, errorf(CodeNoToken, "Token %.128s not found", token)
		}
		return allowed(l), nil
	}
}

// tokenPlugins reads the plugins that the request names; all must be there.
func (c *adminCall) tokenPlugins() ([]string, *Error) {
	var l []string
	for _, v := range c.Array("plugins") {
		name, _ := v.(string)
		if c.server.plugins[name] == nil {
			return nil, errorf(CodeInvalidElement, "Invalid element type (some of the provided plugins are invalid)")
		}
		l = append(l, name)
	}
	return l, nil
}

func allowed(plugins []string) object {
	if plugins == nil {
		plugins = []string{}
	}
	return object{"data": object{"plugins": plugins}}
}

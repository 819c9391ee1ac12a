// Package registry keeps in Redis where a node is and how it is, for applications that look there for a media server.
//
// Each node writes one entry by itself, under cardea:node:ID: a JSON object with what [Node] says, that is there as long as the
// node is (also while it drains, with "state" saying so) and expires by itself when the node does not refresh it. For
// applications that read something else, further entries ([Entry]) have keys and values that are templates (text/template) over
// the same Node:
//
//	media_server:{{.Region}}:ip     {{.Address}}
//	servers:{{.ID}}                 {"ip":"{{.IPv4}}","port":{{.WS}},"load":{{.Load}}}
//
// An entry is a string, or a hash whose fields are the members of the JSON object that the template makes. Further entries go as
// soon as the node drains, unless they are to stay.
//
// Many nodes may share one key (media_server_ip): the first one there keeps it, refreshes it, and gives it up when it drains or
// stops; when it dies, the entry expires, and one of the others is there a second later. What lies under the key without an
// expiry, or is no string, is nobody's, and is replaced.
//
// Nothing depends on Redis: while it is away the node tries again, more and more rarely, logs once, and counts. What it refuses of one
// entry is no matter of the others. It is one server, not a Redis Cluster. Redis that comes back empty has the
// entries again within a third of their time to live. Nothing is read but shared keys, of which only equality with this node's own value matters.
package registry

// Package janustest lets plugins of the Janus API be tested without network and media: a media plane that only
// remembers, a client that talks to a server in the same process, and session descriptions as a browser writes them.
package janustest

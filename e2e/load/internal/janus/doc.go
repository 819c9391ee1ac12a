// Package janus is a small client of the Janus API over WebSocket: one connection, one session, a few handles. It knows the
// envelope of requests and events, and no plugin.
package janus

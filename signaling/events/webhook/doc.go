// Package webhook delivers events by HTTP POST, as Janus's sampleevh does, signed if there is a key.
//
// A request's body is a JSON array of events in order, or one event where grouping is off, compressed by gzip if that is on.
//
// # Signature
//
// With a key a request is signed as the Standard Webhooks specification has it, for which there are libraries in most languages:
//
//	webhook-id         names the batch; the same when the same batch is sent again; also without a key
//	webhook-timestamp  seconds since 1970 of this attempt; refuse what is older than some minutes
//	webhook-signature  "v1," and the base64 of the HMAC-SHA256, by the key, of id "." timestamp "." body as it was sent (compressed, if it is)
//
// A key that begins with "whsec_" is the base64 of the key's bytes; any other is taken as it is.
//
// # Answers
//
// Any status 2xx confirms. 400, 413, 415 and 422 refuse what was sent, which is then sent in parts, and an event that is refused alone
// is given up. Everything else, redirects included, is a fault of the destination and tried again; Retry-After is minded.
// Events that were sent and whose answer was lost come again, perhaps in other batches: events of the same "id" are the same event.
// With [Config.AnyStatus] every answer confirms, as for sampleevh, which tries again only when there was none.
//
// # Where it connects to
//
// Only to the configured URL, whose name must not lead to a private address unless the configuration allows that (package guard).
// Redirects are not followed, and proxies of the environment are not used.
package webhook

package sdp

// Error says why a session description cannot be used. [Parse] and [Accept] return no other error.
type Error struct {
	// Reason is the sentence Janus tells the client.
	Reason string
	// Detail says more, for the log; may be empty.
	Detail string
}

// Unreadable tells that the text is no session description at all, as opposed to one that cannot be used. Janus answers
// the two with different codes in a renegotiation.
func (e *Error) Unreadable() bool { return e.Reason != reasonProcessing }

// Error returns the reason and the detail.
func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Reason
	}
	return e.Reason + ": " + e.Detail
}

// Janus's sentences.
const (
	reasonStart      = "Invalid SDP (doesn't start with v=)"
	reasonMissing    = "Missing mandatory lines (o=, s= or m=)"
	reasonSyntax     = "Invalid SDP"
	reasonProcessing = "Error processing SDP"
)

// Package bwe estimates how much bandwidth a client has and shares it out among what it is sent.
//
// For each subscriber an [Estimator] watches the transport-wide feedback of the client (TWCC), as in
// draft-ietf-rmcat-gcc: a growing delay says that a queue fills up on the way, so the rate goes down before packets are
// lost; losses alone count when they are many. Clients without TWCC are estimated by what they say (REMB) and by the
// losses in their receiver reports. An application that sends less than the path could take learns nothing of the path,
// so the estimator asks for probes: short bursts of padding, when there is something better to send.
//
// An [Allocator] decides which quality of each video track fits into the estimate. Toward publishers, who estimate for
// themselves, a [Recorder] writes the feedback that lets them.
//
// Everything is pure: time is passed in as nanoseconds of one monotonic clock, nothing waits and nothing allocates once
// it is warm. Rates are bits/s, sizes bytes. Nothing is safe for concurrent use but [History.Add].
package bwe

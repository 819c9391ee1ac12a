// Package pull brings the streams that somebody here wants from other nodes, and passes on what other nodes want from here.
//
// Whoever watches a stream in the media plane's directory makes demand, be it a subscriber, a forwarder, or another node that
// asked for it: so demand travels towards the publisher by itself, and however many want a stream behind a link, it crosses the
// link once. A stream that comes from elsewhere is a [stream.Stream] like any other, and its audience cannot tell.
//
// # The conversation
//
// A child asks a parent, both being neighbours on a link, and takes back what it asked for; the rest is said as it changes:
//
//	child                                     parent
//	want{flow, stream, layers, route}  ---->            the flow is the child's choice, for one incarnation of the stream
//	                                   <----  announce{flow, path, stream as it is published or nothing}
//	                                   <----  refusal{flow, reason}                        instead
//	layers{flow, layers}               ---->            more at once, less after two seconds
//	keyframe{flow, layers}             ---->            at most one for each layer in max(RTT, 500 ms)
//	                                   <----  hints{flow, sent, rates by layer}            each second, and when a layer ends
//	unwant{flow}                       ---->            three seconds after the last one here who wanted it
//
// An announcement without a stream says that nobody publishes it, one without a path that the parent has nobody to ask just
// now. The path begins at the node where the stream is published and ends with the parent: only that node can begin one, so
// nodes that wait for each other in a circle never take each other for a source. A parent refuses a child on its path.
// An incarnation that follows on another needs a flow of its own, since packets may overtake what announces them.
//
// # Parents
//
// A want has one parent that feeds it. If that fails (its link is silent or gone, it lost its own parent and found no other,
// or says that it sends what does not come) the next is asked at once; if the routes have a better one for long enough, that
// is asked, and the present one left when packets come from both. As long as the incarnation is the same, both feed one
// stream, which takes what comes twice only once. Another incarnation makes a new stream in the old one's place.
//
// What decides is pure: a [want] takes what happened and the time, and says what to do.
package pull

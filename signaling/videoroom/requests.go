package videoroom

import (
	"context"

	"cardea/signaling/janus"
)

// syncRequests are answered at once, and available to the admin API.
var syncRequests = map[string]func(*Plugin, context.Context, janus.Object) (object, error){
	"create":                  (*Plugin).create,
	"edit":                    (*Plugin).edit,
	"destroy":                 (*Plugin).destroy,
	"list":                    (*Plugin).list,
	"exists":                  (*Plugin).exists,
	"allowed":                 (*Plugin).allowed,
	"kick":                    (*Plugin).kick,
	"moderate":                (*Plugin).moderate,
	"listmutes":               (*Plugin).listMutes,
	"listparticipants":        (*Plugin).listParticipants,
	"enable_recording":        (*Plugin).enableRecording,
	"rtp_forward":             (*Plugin).rtpForward,
	"stop_rtp_forward":        (*Plugin).stopRTPForward,
	"listforwarders":          (*Plugin).listForwarders,
	"publish_remotely":        (*Plugin).publishRemotely,
	"unpublish_remotely":      (*Plugin).unpublishRemotely,
	"listremotes":             (*Plugin).listRemotes,
	"add_remote_publisher":    (*Plugin).addRemotePublisher,
	"update_remote_publisher": (*Plugin).updateRemotePublisher,
	"remove_remote_publisher": (*Plugin).removeRemotePublisher,
}

// asyncRequest is one request that is acknowledged and answered by an event later. It answers for itself unless it
// returns an error.
type asyncRequest func(s *session, ctx context.Context, m *janus.Message) error

// The asynchronous requests, by what the handle is: what is not in its table but in another is refused by name.
var (
	newcomerRequests = map[string]asyncRequest{
		"join":             (*session).join,
		"joinandconfigure": (*session).join,
	}
	publisherRequests = map[string]asyncRequest{
		"join":             (*session).joinAgain,
		"joinandconfigure": (*session).joinAgain,
		"configure":        (*session).configurePublisher,
		"publish":          (*session).configurePublisher,
		"unpublish":        (*session).unpublish,
		"quality":          (*session).clientQuality,
		"leave":            (*session).leave,
	}
	subscriberRequests = map[string]asyncRequest{
		"join":        (*session).joinAgain,
		"start":       (*session).start,
		"pause":       (*session).pause,
		"configure":   (*session).configureSubscriber,
		"subscribe":   (*session).updateSubscription,
		"unsubscribe": (*session).updateSubscription,
		"update":      (*session).updateSubscription,
		"switch":      (*session).switchStreams,
		"leave":       (*session).leaveSubscription,
		"quality":     (*session).clientQuality,
	}
)

// asynchronous tells whether any handle knows an asynchronous request of that name.
func asynchronous(name string) bool {
	for _, table := range []map[string]asyncRequest{newcomerRequests, publisherRequests, subscriberRequests} {
		if table[name] != nil {
			return true
		}
	}
	return false
}

package sdp

import "cardea/relay/plane"

// dependencyDescriptorID is what the server's offers use; Janus takes over the publisher's, which is of no use to a
// receiver and may collide.
const dependencyDescriptorID = 11

// offerID is the id of an extension in the server's offers: Janus's, which some native clients have hard-coded. 0 for
// extensions that are never offered.
func offerID(uri string) uint8 {
	switch uri {
	case plane.ExtAudioLevel:
		return 1
	case plane.ExtAbsSendTime:
		return 2
	case plane.ExtTransportCC:
		return 3
	case plane.ExtMid:
		return 4
	case plane.ExtRID:
		return 5
	case plane.ExtRepairedRID:
		return 6
	case plane.ExtAbsCaptureTime:
		return 7
	case plane.ExtDependencyDescriptor:
		return dependencyDescriptorID
	case plane.ExtPlayoutDelay:
		return 12
	case plane.ExtVideoOrientation:
		return 13
	}
	return 0
}

package janus

import "time"

var captureParams = []Param{{Name: "folder", Type: String}, {Name: "filename", Type: String}, {Name: "truncate", Type: PosInt}}

func (c *adminCall) destroySession() (object, *Error) {
	c.session.log.Info("session ended by the operator")
	c.server.Destroy(c.session)
	return object{}, nil
}

// setOneTimeout gives the session a timeout of its own: 0 never ends it, -1 is that of all.
func (c *adminCall) setOneTimeout() (object, *Error) {
	n, ok := c.Int("timeout")
	if !ok || n < -1 {
		return nil, errorf(CodeInvalidElement, "Invalid element type (timeout should be a non-negative integer or -1)")
	}
	n = min(n, maxSeconds)
	c.session.SetTimeout(time.Duration(n) * time.Second)
	return object{"timeout": n}, nil
}

func (c *adminCall) listHandles() (object, *Error) {
	l := []uint64{}
	for _, h := range c.session.Handles() {
		l = append(l, h.id)
	}
	return object{"handles": l}, nil
}

func (c *adminCall) detachHandle() (object, *Error) {
	c.handle.log.Info("handle detached by the operator")
	c.handle.Detach()
	return object{}, nil
}

func (c *adminCall) hangupWebRTC() (object, *Error) {
	c.handle.HangUp("Admin API")
	return object{}, nil
}

// startCapture refuses: the node writes no packets to files.
func (c *adminCall) startCapture() (object, *Error) {
	return nil, errorf(CodeUnknown, "Captures are not available")
}

func (c *adminCall) stopCapture() (object, *Error) {
	return nil, errorf(CodeUnknown, "Capture not started")
}

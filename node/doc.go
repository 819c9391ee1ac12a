// Package node is the program: it prepares the machine, builds the planes a configuration asks for, wires them to each
// other, and stops them again. It is the only place where all planes meet; whatever it decides about calls, rooms or
// packets belongs into one of them.
//
// [Listen] binds every port or none; nothing is served before [Node.Serve], which blocks until its context ends and
// everything it started has come to rest.
package node

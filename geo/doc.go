// Package geo finds the node that serves a client best.
package geo

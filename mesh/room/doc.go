// Package room keeps rooms that span nodes.
package room

// Package churn tests that a node forgets its clients: many come at once, publish, subscribe, change their networks, and
// vanish without a goodbye, for as long as the environment's CHURN says ("10m"; "make soak" does that). Afterwards the node,
// a process of its own, must hold what it held before.
package churn

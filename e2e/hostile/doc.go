// Package hostile attacks a node, from the network and from the API, while an innocent call goes through it: the call must
// lose nothing and its delay not suffer, the node must stay up, give everything back afterwards, and have counted the rubbish.
package hostile

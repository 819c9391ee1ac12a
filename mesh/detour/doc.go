// Package detour carries what is said to a node that cannot be reached directly, by way of nodes that reach it.
//
// A link says who speaks at its other end; on a detour it says only who passed something on. So each parcel, and each reply, is signed by the
// node that it is from, and names the one it is for: those on the way can lose it, and can do nothing else to it. A serial number refuses what
// was carried before. Signing and checking take some 100 us for each parcel, which is little for the seconds or hours in which two nodes cannot see each
// other, and the reason why nothing takes a detour that has a link over which something comes.
//
//	parcel  {from, to, serial, kind, payloads, key, signature; hops}    a call of [Kind]; hops alone is not signed
//	reply   {payload or error, key, signature}                          signed along with the parcel's from, to and serial
//
// A parcel holds one request, or the notices that have gathered while the parcel before was on its way: one is under way to each node, so that
// they arrive in order. If one fails, whatever waits for that node is dropped and [Config.Failed] is told: the conversation begins again, as after a
// link that broke.
package detour

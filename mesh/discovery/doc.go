// Package discovery finds addresses at which other nodes may be: in a static list, behind a DNS name, in a Redis registry.
//
// That is all it finds. Whoever can ask the same name server or read the same registry learns addresses (from the registry also
// what members tell each other in metadata: names, regions, versions, load), and gains nothing by it: without an invitation or
// a certificate no member talks to it. Nor can whoever answers for them do harm beyond having the wrong doors knocked at: the
// one that knocks lets members' certificates decide.
package discovery

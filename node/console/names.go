package console

import (
	"net/netip"
	"strings"
)

// shortID is how many characters of an id tell nodes apart well enough for people, as a rule.
const shortID = 6

// NameNodes fills in what people are to read for each of the nodes, which are all that there are: nodes of one host have its name
// unless they were given others. [MeshNode].Label is the name, and the beginning of the id where another node has the name too;
// [MeshNode].Short is for where there is little room: the first part of a host's name if it is enough, else the label.
func NameNodes(nodes []*MeshNode) {
	names, hosts := make(map[string]int, len(nodes)), make(map[string]int, len(nodes))
	for _, n := range nodes {
		names[n.Name]++
		hosts[host(n.Name)]++
	}
	length := idLength(nodes)
	for _, n := range nodes {
		id := n.ID[:min(length, len(n.ID))]
		switch {
		case n.Name == "":
			n.Label = id
		case names[n.Name] > 1:
			n.Label = n.Name + " (" + id + ")"
		default:
			n.Label = n.Name
		}
		n.Short = n.Label
		switch h := host(n.Name); {
		case n.Name == "":
		case hosts[h] == 1:
			n.Short = h
		case names[n.Name] > 1:
			n.Short = h + " (" + id + ")"
		}
	}
}

// host is the first part of a host's name; addresses stay whole.
func host(name string) string {
	if _, err := netip.ParseAddr(name); err == nil {
		return name
	}
	first, _, _ := strings.Cut(name, ".")
	return first
}

// IDLength is how many characters of their ids tell all nodes apart, 6 at least.
func IDLength(nodes []MeshNode) int {
	all := make([]*MeshNode, 0, len(nodes))
	for i := range nodes {
		all = append(all, &nodes[i])
	}
	return idLength(all)
}

func idLength(nodes []*MeshNode) int {
	for length := shortID; ; length++ {
		seen, longer := make(map[string]bool, len(nodes)), false
		for _, n := range nodes {
			longer = longer || len(n.ID) > length
			seen[n.ID[:min(length, len(n.ID))]] = true
		}
		if len(seen) == len(nodes) || !longer {
			return length
		}
	}
}

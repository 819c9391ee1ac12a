package node

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"cardea/mesh/member"
	"cardea/node/config"
)

// warnNamesake warns when another node of the mesh has this one's name, as several on one machine have by its host name.
func (n *Node) warnNamesake() {
	if other, ok := namesake(n.cluster.Self(), n.cluster.Nodes()); ok {
		n.log.Warn("another node of the mesh has the same name: give each its own (--name)", "name", n.name, "other", other)
	}
}

// namesake returns another node with the same name.
func namesake(self member.Node, all []member.Node) (other string, ok bool) {
	for i := range all {
		if all[i].ID != self.ID && all[i].Name == self.Name {
			return string(all[i].ID), true
		}
	}
	return "", false
}

// welcome tells whoever looks on where the page is, and once, at the first start of a cluster, how other nodes join. That invitation is
// worth something for an hour; whoever reads the node's output may have it. Where output is for collectors, it is in the log.
func (n *Node) welcome() {
	var who, command string
	if invitation := n.cluster.FirstInvitation(); invitation != "" {
		who, command = howToJoin(n.cfg, n.name, os.Args[0], addressesOf(n.cluster.Self().Links), invitation)
	}
	if n.out == nil {
		if command != "" {
			n.log.Info("this node began a cluster; others join it within an hour by the command; later, \"cardea token\" prints another invitation",
				"who", who, "command", command)
		}
		return
	}
	text := ""
	if n.cfg.Console.Page && n.cfg.Node.Has(config.PlaneSignaling) {
		text += pageText(n.cfg, n.publicAddresses())
	}
	switch {
	case command != "":
		text += "\n" + who + " join within an hour by the next line (later, \"cardea token\" prints another invitation):\n" + command + "\n"
	case who != "":
		text += "\n" + who + "\n"
	}
	if text != "" {
		_, _ = fmt.Fprintln(n.out, "\n"+text) // nobody may be there to read
	}
}

// pageText says where the call page is: for browsers on this machine, and for those elsewhere, which give a page the camera over HTTPS alone.
// public are the addresses of the node that clients reach.
func pageText(cfg *config.Config, public []netip.Addr) string {
	var plain, secure string
	elsewhere := false // the plain one is no loopback address of this machine
	for _, l := range cfg.Listeners() {
		switch l.Option {
		case "console.port":
			host := "localhost"
			if l.Address.IsValid() && !l.Address.IsUnspecified() {
				host = l.Address.String()
				elsewhere = !l.Address.IsLoopback()
			}
			plain = pageURL("http", host, l.Port, 80)
		case "console.https_port":
			host := cfg.Geo.Host
			switch {
			case host != "":
			case l.Address.IsValid() && !l.Address.IsUnspecified() && len(cfg.Node.Advertise) == 0:
				host = l.Address.String()
			case len(public) > 0:
				host = public[0].String()
			default:
				host = "localhost"
			}
			secure = pageURL("https", host, l.Port, 443)
		}
	}
	switch {
	case plain == "" && secure == "":
		return ""
	case plain == "" || elsewhere && secure != "":
		return "Open " + secure + " in two browser tabs.\n"
	case secure != "":
		return "Open " + plain + " in two browser tabs, or " + secure + " on other machines.\n"
	case elsewhere:
		return "Open " + plain + " in two browser tabs. They give it a camera over HTTPS only: set tls.certificate and tls.key.\n"
	}
	return "Open " + plain + " in two browser tabs.\n"
}

// pageURL writes a URL without the port that is its scheme's anyway.
func pageURL(scheme, host string, port, usual uint16) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != usual {
		host += ":" + strconv.Itoa(int(port))
	}
	return scheme + "://" + host
}

// howToJoin tells who can join this node by an invitation, and by which command; without one, what keeps others out. program is what this node
// was started as, reached its addresses for other nodes.
func howToJoin(cfg *config.Config, name, program string, reached []netip.Addr, invitation string) (who, command string) {
	for _, a := range reached {
		if !a.IsLoopback() {
			return fmt.Sprintf("Nodes on machines that reach %s", a), "cardea run --join " + invitation
		}
	}
	bind := meshBind(cfg)
	next := bind.Next()
	if !bind.Is4() || !bind.IsLoopback() || !next.IsLoopback() {
		return "Only this machine reaches this node. To have others beside it here, start it with an address of its own, such as --bind 127.0.0.1.", ""
	}
	return fmt.Sprintf("Only this machine reaches this node (%s). Others here", bind),
		fmt.Sprintf("%s run --bind %s --name %s --data-dir %s --join %s",
			quoted(program), next, quoted(name+"-2"), quoted(filepath.Clean(cfg.Node.DataDir)+"-2"), invitation)
}

// quoted makes a text one word of a shell's command.
func quoted(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

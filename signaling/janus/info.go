package janus

import "time"

// Info is what the info request tells beyond what the server knows itself. Clients show it; few act on it.
type Info struct {
	Name          string // default "Janus WebRTC Server", which some clients look for
	Author        string // default "Cardea"
	Version       int    // of the API: default 1102
	VersionString string // default "1.1.2"
	Commit        string
	Compiled      string
	ServerName    string // default "MyJanusInstance"
	LocalIP       string
	PublicIPs     []string
	LogToStdout   bool
	LogToFile     bool
	IPv6          bool
	ICELite       bool
	ICETCP        bool
	STUNServer    string
	TURNServer    string
	EventHandlers map[string]Component // nil when events go nowhere
	Transports    map[string]Component
	Dependencies  map[string]string
}

// Component describes a part of the server by Janus's package name for it.
type Component struct {
	Name          string `json:"name"`
	Author        string `json:"author"`
	Description   string `json:"description"`
	VersionString string `json:"version_string"`
	Version       int    `json:"version"`
}

// serverInfo is the reply to info.
type serverInfo struct {
	Janus             string               `json:"janus"`
	Transaction       *string              `json:"transaction,omitempty"`
	Name              string               `json:"name"`
	Version           int                  `json:"version"`
	VersionString     string               `json:"version_string"`
	Author            string               `json:"author"`
	Commit            string               `json:"commit-hash"`
	Compiled          string               `json:"compile-time"`
	LogToStdout       bool                 `json:"log-to-stdout"`
	LogToFile         bool                 `json:"log-to-file"`
	DataChannels      bool                 `json:"data_channels"`
	Accepting         bool                 `json:"accepting-new-sessions"`
	SessionTimeout    int                  `json:"session-timeout"`
	ReclaimTimeout    int                  `json:"reclaim-session-timeout"`
	CandidatesTimeout int                  `json:"candidates-timeout"`
	ServerName        string               `json:"server-name"`
	LocalIP           string               `json:"local-ip"`
	PublicIP          string               `json:"public-ip,omitempty"`
	PublicIPs         []string             `json:"public-ips,omitempty"`
	IPv6              bool                 `json:"ipv6"`
	ICELite           bool                 `json:"ice-lite"`
	ICETCP            bool                 `json:"ice-tcp"`
	Nomination        string               `json:"ice-nomination"`
	Keepalive         bool                 `json:"ice-keepalive-conncheck"`
	FullTrickle       bool                 `json:"full-trickle"`
	MDNS              bool                 `json:"mdns-enabled"`
	MinNACKQueue      int                  `json:"min-nack-queue"`
	NACKOptimizations bool                 `json:"nack-optimizations"`
	TWCCPeriod        int                  `json:"twcc-period"`
	DTLSMTU           int                  `json:"dtls-mtu"`
	STUNServer        string               `json:"stun-server,omitempty"`
	TURNServer        string               `json:"turn-server,omitempty"`
	EventLoops        int                  `json:"static-event-loops"`
	APISecret         bool                 `json:"api_secret"`
	AuthToken         bool                 `json:"auth_token"`
	HasHandlers       bool                 `json:"event_handlers"`
	OpaqueIDInAPI     bool                 `json:"opaqueid_in_api"`
	Dependencies      map[string]string    `json:"dependencies"`
	Transports        map[string]Component `json:"transports"`
	Events            map[string]Component `json:"events"`
	Loggers           map[string]Component `json:"loggers"`
	Plugins           map[string]Component `json:"plugins"`
}

// info makes the reply to info. Figures that Janus lets configure and this server has fixed are told as they are.
func (s *Server) info(transaction *string) serverInfo {
	c, i := &s.cfg, &s.cfg.Info
	seconds := func(d time.Duration) int { return int(d / time.Second) }
	r := serverInfo{
		Janus: "server_info", Transaction: transaction,
		Name: either(i.Name, "Janus WebRTC Server"), Author: either(i.Author, "Cardea"),
		Version: either(i.Version, 1102), VersionString: either(i.VersionString, "1.1.2"),
		Commit: either(i.Commit, "unknown"), Compiled: either(i.Compiled, "unknown"),
		LogToStdout: i.LogToStdout, LogToFile: i.LogToFile,
		DataChannels: true, Accepting: s.accepting() == nil,
		SessionTimeout: seconds(s.sessionTimeout()), ReclaimTimeout: seconds(s.reclaimTimeout()),
		CandidatesTimeout: seconds(s.candidatesTimeout()),
		ServerName:        either(i.ServerName, "MyJanusInstance"), LocalIP: i.LocalIP, PublicIPs: i.PublicIPs,
		IPv6: i.IPv6, ICELite: i.ICELite, ICETCP: i.ICETCP, Nomination: "aggressive", MDNS: false,
		MinNACKQueue: minNACKQueue, TWCCPeriod: 200, DTLSMTU: 1200,
		STUNServer: i.STUNServer, TURNServer: i.TURNServer,
		APISecret: c.APISecret != "", AuthToken: c.TokenAuth, HasHandlers: i.EventHandlers != nil, OpaqueIDInAPI: c.OpaqueIDInAPI,
		Dependencies: i.Dependencies, Transports: i.Transports, Events: i.EventHandlers,
		Loggers: map[string]Component{}, Plugins: map[string]Component{},
	}
	if len(i.PublicIPs) > 0 {
		r.PublicIP = i.PublicIPs[0]
	}
	if r.Dependencies == nil {
		r.Dependencies = map[string]string{}
	}
	if r.Transports == nil {
		r.Transports = map[string]Component{}
	}
	if r.Events == nil {
		r.Events = map[string]Component{}
	}
	for name, p := range s.plugins {
		d := &p.info
		r.Plugins[name] = Component{
			Name: d.Name, Author: d.Author, Description: d.Description, VersionString: d.VersionString, Version: d.Version,
		}
	}
	return r
}

func either[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

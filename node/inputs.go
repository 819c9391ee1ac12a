package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"cardea/geo"
	"cardea/geo/dns"
	"cardea/mesh/member"
	"cardea/node/config"
	"cardea/node/registry"
	"cardea/node/store"
)

// inputs is what a start makes of the configuration, and of the files that it names, before it binds a port or writes anything.
type inputs struct {
	name     string           // of the node
	pair     *tls.Certificate // nil without
	locator  *geo.Locator
	sinks    []eventSink
	warnings config.Faults // what a node starts with nonetheless
	unkept   error         // why nothing can be kept, which is warned of by who tries
}

// Check tells everything in a configuration and the files it names that would keep a node from starting, as [config.Faults], and what it
// would start with nonetheless. A start does the same first. Nothing is changed by it, no port opened and nobody asked: whether ports
// are free and an invitation is still good shows at the start.
func Check(cfg *config.Config) (warnings config.Faults, err error) {
	in, err := takeIn(cfg, slog.New(slog.DiscardHandler))
	closeSinks(in.sinks)
	if in.unkept != nil {
		in.warnings = append(in.warnings, config.Fault{Path: "node.data_dir", Problem: in.unkept.Error() + ": what the node should keep lasts as long as it runs"})
	}
	return in.warnings, err
}

// takeIn reads and tries all of a start's inputs. With an error, which is [config.Faults], they are not complete. The caller closes the
// sinks in any case.
func takeIn(cfg *config.Config, log *slog.Logger) (in inputs, err error) {
	var faults config.Faults
	if in.name = cfg.Node.Name; in.name == "" {
		in.name, err = os.Hostname()
		faults = append(faults, faultsOf("node.name", err)...)
	}
	in.pair, err = readCertificate(cfg.TLS)
	faults = append(faults, faultsOf("tls", err)...)
	if in.pair != nil {
		if wrong := outOfDate(in.pair, time.Now()); wrong != "" {
			in.warnings = append(in.warnings, config.Fault{Path: "tls.certificate", Problem: cfg.TLS.Certificate + " " + wrong})
		}
	}
	in.locator, err = geo.OpenLocator(geo.LocatorConfig{Files: cfg.Geo.Databases, Log: log})
	faults = append(faults, faultsOf("geo.databases", err)...)
	var wrong config.Faults
	in.sinks, wrong = eventSinks(cfg)
	faults = append(faults, wrong...)
	if file := cfg.Events.Log.File; file != "" {
		in.warnings = append(in.warnings, faultsOf("events.log.file", checkWritable(filepath.Dir(file)))...)
	}
	faults = append(faults, in.checkData(cfg)...)
	faults = append(faults, checkZone(cfg.DNS)...)
	faults = append(faults, checkRegistry(cfg)...)
	if len(faults) > 0 {
		return in, faults
	}
	return in, nil
}

// checkData looks at what earlier runs have left, and whether this one can.
func (in *inputs) checkData(cfg *config.Config) (faults config.Faults) {
	mc := memberConfig(cfg, in.name)
	kept := store.Check(cfg.Node.DataDir)
	if err := checkWritable(mc.Dir); err != nil && !mc.Alone {
		if mc.Durable || IsMember(cfg) || kept != nil {
			faults, kept = faultsOf("node.data_dir", err), nil
		} else {
			in.unkept = err
		}
		mc.Dir = "" // then the invitation is all there is to look at
	}
	faults = append(faults, faultsOf("node.data_dir", kept)...)
	if err := member.Check(mc); err != nil {
		option := "node.data_dir"
		if errors.Is(err, member.ErrJoin) || errors.Is(err, member.ErrOtherCluster) {
			option = "mesh.join"
		}
		faults = append(faults, faultsOf(option, err)...)
	}
	return faults
}

// checkWritable tells why files cannot be made in a directory, which may have to be made itself.
func checkWritable(dir string) error {
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		switch {
		case (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)) && at != filepath.Dir(at):
			continue
		case err != nil:
			return err
		case !info.IsDir():
			return fmt.Errorf("%s is not a directory", at)
		}
		if err := canWrite(at); err != nil {
			return fmt.Errorf("cannot write into %s: %w", at, err)
		}
		return nil
	}
}

// checkZone tells what is wrong with the zone: each name server and each record by itself, and all of them together if they are right.
func checkZone(c config.DNS) (faults config.Faults) {
	if c.Zone == "" {
		return nil
	}
	try := func(option string, servers, records []string) {
		_, err := dns.New(zoneConfig(c, servers, records, func(dns.Query) dns.Choice { return dns.Choice{} }, func(string) (dns.Node, bool) { return dns.Node{}, false }))
		faults = append(faults, faultsOf(option, err)...)
	}
	own := []string{"node"}
	for i, s := range c.Nameservers {
		try(fmt.Sprintf("dns.nameservers[%d]", i), []string{s}, nil)
	}
	for i, r := range c.Records {
		try(fmt.Sprintf("dns.records[%d]", i), own, []string{r})
	}
	if len(faults) == 0 {
		try("dns", own, c.Records)
	}
	return faults
}

// checkRegistry fills the templates of the registry's entries in for a node that has everything.
func checkRegistry(cfg *config.Config) config.Faults {
	if cfg.RedisOfRegistry() == "" {
		return nil
	}
	c := registryConfig(cfg)
	c.Describe = func() registry.Node {
		return registry.Node{
			ID: "id", Name: "name", Cluster: "cluster", Region: "region", Version: "version", State: registry.Ready, Load: 0.5, Capacity: 1,
			Host: "node.example", Address: "192.0.2.1", IPv4: "192.0.2.1", IPv6: "2001:db8::1", Latitude: 1, Longitude: 1,
			WS: 1, WSS: 1, HTTP: 1, HTTPS: 1, Media: 1, TURNS: 1, Started: time.Unix(0, 0),
		}
	}
	r, err := registry.New(c)
	if err != nil {
		option := "registry.redis"
		if errors.Is(err, registry.ErrEntry) {
			option = "registry.entries"
		}
		return faultsOf(option, err)
	}
	r.Close()
	return nil
}

// fault is an error that is about an option.
func fault(option string, err error) error {
	return config.Faults{{Path: option, Problem: err.Error()}}
}

// faultsOf are the faults in an error about an option: those that it has already, or one for each error that is joined in it.
func faultsOf(option string, err error) (all config.Faults) {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[config.Faults](err); ok {
		return f
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && strings.Contains(err.Error(), "\n") { //nolint:errorlint // the outermost one
		for _, e := range joined.Unwrap() {
			all = append(all, faultsOf(option, e)...)
		}
		return all
	}
	return config.Faults{{Path: option, Problem: err.Error()}}
}

package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cardea/node"
	"cardea/node/config"
	"cardea/node/console"
)

const joinUsage = `Usage: cardea join --url URL --output FILE [options]

Asks a node for an invitation for the node of this configuration, and writes it into a file, for mesh.join_file to name. It is for
machines that come and go by themselves and know their cluster's console.token; people use "cardea token". Nothing is asked
when node.data_dir is a member's already.
  --url URL
        The console of a member, such as http://192.0.2.1:9600. A name may lead to several: the first that answers will do.
  --token-file FILE
        The file with the console's token. Else it is that of the configuration.
  --output FILE
        The file that the invitation is written into, readable by its owner alone.
  --wait DURATION
        How long to ask until a node answers (1m).
  --first NAME
        The node of this name (node.name) begins a cluster when nobody answers for 15 s: its file is left empty.
  --ttl DURATION, --uses N, --authority
        As for "cardea token"; the invitation is good for 10m.
  --config FILE
        The configuration; as for "cardea run", when not given.
`

const (
	// firstPatience is how long the node that may begin a cluster looks for one. A mesh of which all nodes are out of reach for so
	// long is taken for none.
	firstPatience = 15 * time.Second
	// askPause lies between two questions.
	askPause = 2 * time.Second
)

// join is the command that gets an invitation without a person.
func join(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("join", flag.ContinueOnError)
	url, tokenFile := fs.String("url", "", ""), fs.String("token-file", "", "")
	output, first := fs.String("output", "", ""), fs.String("first", "", "")
	wait, ttl := fs.Duration("wait", time.Minute, ""), fs.Duration("ttl", 10*time.Minute, "")
	uses, authority, file := fs.Int("uses", 1, ""), fs.Bool("authority", false, ""), fs.String("config", "", "")
	if err := parse(fs, args, out, joinUsage, nil); err != nil {
		return err
	}
	if *url == "" || *output == "" {
		return usageError{errors.New("--url and --output are needed")}
	}
	if *ttl < time.Second || *uses < 1 {
		return usageError{errors.New("--ttl and --uses must be at least 1s and 1")}
	}
	cfg, err := loadFile(*file)
	if err != nil {
		return err
	}
	token := string(cfg.Console.Token)
	if *tokenFile != "" {
		b, err := os.ReadFile(*tokenFile)
		if err != nil {
			return usageError{err}
		}
		token = cmp.Or(strings.TrimSpace(string(b)), token)
	}
	if node.IsMember(cfg) {
		if err := keepFile(*output); err != nil {
			return err
		}
		_, err := fmt.Fprintln(out, "a member already")
		return err
	}
	mayBegin := *first != "" && *first == cfg.Node.Name
	if mayBegin {
		*wait = min(*wait, firstPatience)
	}
	client := console.Client{URL: *url, Token: token, HTTP: &http.Client{Timeout: askTimeout}}
	i, err := askUntil(ctx, *wait, func(ctx context.Context) (console.Invited, error) {
		return client.Invite(ctx, console.InviteRequest{TTLSeconds: int(*ttl / time.Second), Uses: *uses, Authority: *authority})
	})
	switch {
	case err == nil:
		if err := writeFile(*output, i.Invitation+"\n"); err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, "invited by", *url)
		return err
	case mayBegin && errors.Is(err, console.ErrNoAnswer):
		if err := writeFile(*output, ""); err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, "nobody is there: the node will begin a cluster")
		return err
	default:
		return err
	}
}

// loadFile reads the configuration from file ("" for the usual places) and environment.
func loadFile(file string) (*config.Config, error) {
	options := flag.NewFlagSet("", flag.ContinueOnError)
	sources := config.Flags(options)
	if file != "" {
		if err := options.Parse([]string{"--config", file}); err != nil {
			return nil, usageError{err}
		}
	}
	// What the invitation will be written into may be named already, and is not there yet.
	var environ []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "CARDEA_MESH_JOIN_FILE=") {
			environ = append(environ, e)
		}
	}
	c, _, err := sources.Load(environ)
	if err != nil {
		return nil, usageError{fmt.Errorf("configuration: %w", err)}
	}
	return c, nil
}

// askUntil asks again and again until there is an answer or the time is over; then it returns why there was none the last time.
func askUntil(ctx context.Context, wait time.Duration, ask func(context.Context) (console.Invited, error)) (console.Invited, error) {
	deadline := time.After(wait)
	for {
		i, err := ask(ctx)
		if err == nil {
			return i, nil
		}
		select {
		case <-ctx.Done():
			return i, err
		case <-deadline:
			return i, err
		case <-time.After(askPause):
		}
	}
}

// writeFile replaces a file as a whole by one that its owner alone can read.
func writeFile(name, content string) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".invitation-*")
	if err != nil {
		return fmt.Errorf("keep the invitation: %w", err)
	}
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("keep the invitation: %w", err)
	}
	return nil
}

// keepFile makes sure that there is a file, and leaves one that is there as it is.
func keepFile(name string) error {
	f, err := os.OpenFile(filepath.Clean(name), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep the invitation: %w", err)
	}
	return f.Close()
}

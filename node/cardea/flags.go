package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"cardea/node/config"
)

// parse is parseFlags for a command that takes no arguments besides.
func parse(fs *flag.FlagSet, args []string, out io.Writer, usage string, options func(io.Writer) error) error {
	err := parseFlags(fs, args, out, usage, options)
	if err == nil && fs.NArg() > 0 {
		err = notOption(fs)
	}
	return err
}

// notOption is the fault of an argument where there may be none.
func notOption(fs *flag.FlagSet) error {
	return usageError{fmt.Errorf("%q is not an option%s", fs.Arg(0), seeHelp(fs))}
}

func seeHelp(fs *flag.FlagSet) string {
	return fmt.Sprintf(" (cardea %s --help lists them)", fs.Name())
}

// parseFlags reads a command's flags. It prints usage, then what options writes (nil: nothing), when help is asked for, and
// returns flag.ErrHelp then.
func parseFlags(fs *flag.FlagSet, args []string, out io.Writer, usage string, options func(io.Writer) error) error {
	fs.SetOutput(io.Discard)
	if err := checkFlags(fs, args); err != nil {
		return usageError{err}
	}
	err := fs.Parse(args)
	if err == nil {
		return nil
	}
	if !errors.Is(err, flag.ErrHelp) {
		return usageError{err} // of a flag that checks its values itself
	}
	if _, err := io.WriteString(out, usage); err != nil {
		return err
	}
	if options != nil {
		if err := options(out); err != nil {
			return err
		}
	}
	return flag.ErrHelp
}

// checkFlags tells what is wrong with a command line as people write it, with two dashes, before package flag reads it.
func checkFlags(fs *flag.FlagSet, args []string) error {
	for len(args) > 0 {
		arg := args[0]
		if len(arg) < 2 || arg[0] != '-' || arg == "--" {
			return nil // arguments follow
		}
		name, value, given := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		if name == "h" || name == "help" {
			return nil
		}
		args = args[1:]
		f := fs.Lookup(name)
		if f == nil {
			var known []string
			fs.VisitAll(func(f *flag.Flag) { known = append(known, "--"+f.Name) })
			return errors.New(config.Unknown("flag", "--"+name, known) + seeHelp(fs))
		}
		if b, ok := f.Value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() {
			if given && !isBool(f, value) {
				return fmt.Errorf("--%s: %q: want true or false", name, value)
			}
			continue
		}
		if !given {
			if len(args) == 0 {
				return fmt.Errorf("--%s needs a value", name)
			}
			value, args = args[0], args[1:]
		}
		if want := wanted(f, value); want != "" {
			return fmt.Errorf("--%s: %q: want %s", name, value, want)
		}
	}
	return nil
}

func isBool(f *flag.Flag, value string) bool {
	if _, plain := f.Value.(flag.Getter); !plain {
		return true // an option of the configuration, which is read with all others
	}
	_, err := strconv.ParseBool(value)
	return err == nil
}

// wanted names the values that a flag takes if this is none of them.
func wanted(f *flag.Flag, value string) string {
	g, ok := f.Value.(flag.Getter)
	if !ok {
		return ""
	}
	var err error
	want := ""
	switch g.Get().(type) {
	case int:
		want = "a whole number"
		_, err = strconv.Atoi(value)
	case float64:
		want = "a number"
		_, err = strconv.ParseFloat(value, 64)
	case time.Duration:
		want = "a duration with its unit, such as 500ms, 10s or 1m30s"
		_, err = time.ParseDuration(value)
	}
	if err != nil {
		return want
	}
	return ""
}

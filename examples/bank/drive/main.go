package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// The exit codes, which are those of the papyra command.
const (
	exitFine        = 0
	exitFailed      = 1
	exitUsage       = 64
	exitInterrupted = 130
)

// config is what the flags say.
type config struct {
	load     time.Duration // how long the clients work
	clients  int
	accounts int
	kills    int
	runs     int
	seed     uint64 // 0: another one each time
	store    string // a URL, or the name of an engine: a store of its in the temporary folder
	keep     bool
	serve    bool

	// meanwhile, if not nil, is called with the temporary folder while the bank is down
	// after a kill: tests do harm there, and see it found.
	meanwhile func(dir string)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	c, err := parse(os.Args[1:], os.Stdout)
	if err == nil && c != nil {
		err = c.all(ctx, os.Stdout)
	}
	code := exitCode(ctx, err)
	switch {
	case code == exitInterrupted:
		fmt.Fprintln(os.Stderr, "drive: interrupted; the bank was ended")
	case err != nil:
		fmt.Fprintln(os.Stderr, "drive: "+strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; "))
	}
	stop()
	os.Exit(code)
}

type usageError struct{ error }

func exitCode(ctx context.Context, err error) int {
	var wrong usageError
	switch {
	case err == nil:
		return exitFine
	case errors.As(err, &wrong):
		return exitUsage
	case ctx.Err() != nil:
		return exitInterrupted
	}
	return exitFailed
}

// parse reads the flags; nil and no error if only help was asked for.
func parse(args []string, out io.Writer) (*config, error) {
	c := &config{}
	flags := flag.NewFlagSet("drive", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	seconds := flags.Float64("seconds", 20, "how long the clients work")
	flags.IntVar(&c.clients, "clients", 64, "how many clients there are, 1 to 1000")
	flags.IntVar(&c.accounts, "accounts", 96, "how many accounts there are, 2 to 10000; with few, 1,024 other operations on an account may come before a retry (see recent in account.go)")
	flags.IntVar(&c.kills, "kills", 3, "how often the bank is killed meanwhile, 0 to 20")
	flags.IntVar(&c.runs, "runs", 1, "how often all of this is done, each time on a new store")
	flags.Uint64Var(&c.seed, "seed", 0, "of the random choices; 0: another one each time")
	flags.StringVar(&c.store, "store", "file", "an engine, for a store in a temporary folder, or the `URL` of a store")
	flags.BoolVar(&c.keep, "keep", false, "keep the temporary folder")
	flags.BoolVar(&c.serve, "serve", false, "after a short load without kills, leave the bank serving until SIGINT")
	err := flags.Parse(args)
	c.load = time.Duration(*seconds * float64(time.Second))
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(out, "drive kills the bank under load and checks every account (see make run):")
		flags.SetOutput(out)
		flags.PrintDefaults()
		return nil, nil
	case err != nil:
		return nil, usageError{fmt.Errorf("%w (drive -h lists the flags)", err)}
	case flags.NArg() > 0:
		return nil, usageError{fmt.Errorf("unexpected argument %q (drive -h lists the flags)", flags.Arg(0))}
	}
	if c.serve {
		c.load, c.kills, c.runs = min(c.load, serveLoad), 0, 1
	}
	return c, c.check()
}

// serveLoad is how long the clients work before -serve leaves the bank alone.
const serveLoad = 3 * time.Second

func (c *config) check() error {
	for _, flag := range []struct {
		name        string
		value       int
		least, most int
	}{
		{"clients", c.clients, 1, 1000}, {"accounts", c.accounts, 2, 10_000},
		{"kills", c.kills, 0, 20}, {"runs", c.runs, 1, 1000},
	} {
		if flag.value < flag.least || flag.value > flag.most {
			return usageError{fmt.Errorf("-%s is %d: want %d to %d", flag.name, flag.value, flag.least, flag.most)}
		}
	}
	if c.load < time.Second || c.load > time.Hour {
		return usageError{errors.New("-seconds: want 1 to 3600")}
	}
	if scheme, _, _ := strings.Cut(c.store, ":"); !slices.Contains(backend.Schemes(), scheme) {
		return usageError{fmt.Errorf("-store %s: no such engine, and no URL of one: this program has %s", scheme, strings.Join(backend.Schemes(), ", "))}
	}
	if c.store == "memory" {
		c.store = "memory://"
	}
	if strings.HasPrefix(c.store, "memory:") && c.kills > 0 {
		return usageError{errors.New("-store memory: does not outlive a kill: say -kills 0, or take a store that lasts")}
	}
	return nil
}

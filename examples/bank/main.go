package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/papyra-go/papyra/backend"
	_ "github.com/papyra-go/papyra/backend/bolt"   // for -store bolt:///…
	_ "github.com/papyra-go/papyra/backend/file"   // for -store file:///…
	_ "github.com/papyra-go/papyra/backend/memory" // for -store memory://
	_ "github.com/papyra-go/papyra/backend/pebble" // for -store pebble:///…
)

// The exit codes, which are those of the papyra command.
const (
	exitFine    = 0
	exitFailed  = 1
	exitDamaged = 2
	exitLocked  = 3
	exitUsage   = 64
)

const defaultAddr = "127.0.0.1:8080"

const usage = `bank serves durable accounts over HTTP.

  bank -store URL [-addr HOST:PORT]

  -store URL       where the accounts are: file:///var/lib/bank, or memory:// for a try
  -addr HOST:PORT  where to listen (default ` + defaultAddr + `; port 0 takes a free one)

The first line on standard output is the address that it listens on. SIGTERM and
SIGINT end it gracefully. Exit: 0 fine, 1 failed, 2 the store is damaged, 3 the store
is locked or the system refuses it, 64 wrong usage.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bank: "+strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	os.Exit(exitCode(err))
}

// usageError is what the caller of the program has done wrong.
type usageError struct{ error }

func exitCode(err error) int {
	var wrong usageError
	switch {
	case err == nil:
		return exitFine
	case errors.As(err, &wrong):
		return exitUsage
	case errors.Is(err, backend.ErrLocked), errors.Is(err, backend.ErrUnavailable):
		return exitLocked
	case errors.Is(err, backend.ErrCorrupt):
		return exitDamaged
	}
	return exitFailed
}

// run does what the arguments say, until ctx ends.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bank", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	url := flags.String("store", "", "")
	addr := flags.String("addr", defaultAddr, "")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		_, err := io.WriteString(out, usage)
		return err
	case err != nil:
		return usageError{fmt.Errorf("%w (bank -h lists the flags)", err)}
	case flags.NArg() > 0:
		return usageError{fmt.Errorf("unexpected argument %q (bank -h lists the flags)", flags.Arg(0))}
	case *url == "":
		return usageError{errors.New("-store is missing: say where the accounts are, such as -store file:///var/lib/bank")}
	}
	if _, _, err := net.SplitHostPort(*addr); err != nil {
		return usageError{fmt.Errorf("-addr %.80q: want HOST:PORT, such as %s", *addr, defaultAddr)}
	}
	return serve(ctx, *url, *addr, out)
}

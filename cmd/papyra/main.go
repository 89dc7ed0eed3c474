// Command papyra is the operators' tool for papyra stores: it says what a store
// holds, whether it is whole, what to do when it is not, does that, and moves records
// out of stores and into them.
//
// Most commands only read: they open the store read-only, never create one, and
// leave every byte of it as it is; a store that a process holds open can be read
// where its engine allows that. recover and compact change a store. They look at it
// in the same way first, show what they are going to do, and ask (ask.go). import,
// copy and bench write, through the packages internal/transfer and
// internal/storebench. conformance makes stores of its own, where nothing is yet, and
// removes them.
//
// The commands that list records share their flags: inspect_filters.go. What they ask
// for, package backend selects.
//
// docs/cli.md describes commands, JSON shapes and exit codes. To read the code,
// begin with run.go (what every command shares), then exit.go, store.go and any
// one command: each has a file of its own name. What is known of the file engine's
// format here, beyond the names of files, is in quarantine_records.go and
// scan_unopened.go.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	_ "github.com/papyra-go/papyra/backend/bolt"
	_ "github.com/papyra-go/papyra/backend/file"
	_ "github.com/papyra-go/papyra/backend/memory"
	_ "github.com/papyra-go/papyra/backend/pebble"
)

func main() {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel(errInterrupted)
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

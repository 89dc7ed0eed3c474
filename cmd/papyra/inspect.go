package main

import (
	"errors"

	"github.com/spf13/cobra"
)

const inspectLong = `inspect shows what a store holds: a summary, its streams, the records of one
stream, all records in the order in which they were committed, those of one kind,
one record whole, or what the engine says of itself.

It opens the store read-only and without a check, so that a damaged store can be
looked at too: what can be read is shown, then the damage is named, and the exit
code is 2.`

const inspectExample = `  papyra inspect summary --store file:///var/lib/app
  papyra inspect streams --prefix order-
  papyra inspect stream order-17 --reverse --limit 10
  papyra inspect events --from 1000 --payload --format json
  papyra inspect dead-letters --since 24h
  papyra inspect record order-17 3`

func (a *app) inspectCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "inspect",
		Short:   "Show what a store holds",
		Long:    inspectLong,
		Example: inspectExample,
		Args:    unknownCommand,
		RunE: func(*cobra.Command, []string) error {
			return &usageError{errors.New("inspect what? summary, streams, stream NAME, events, snapshots, dead-letters, audits, lifecycle, record or stats")}
		},
	}
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(a.summaryCommand(), a.streamsCommand(), a.streamCommand(), a.eventsCommand(), a.recordCommand(), a.statsCommand())
	c.AddCommand(a.kindCommands()...)
	return c
}

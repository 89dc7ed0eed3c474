package main

import (
	"errors"

	"github.com/spf13/cobra"
)

const inspectLong = `inspect shows what a store holds: a summary, its streams, the records of one
stream, or all records in the order in which they were committed.

It opens the store read-only and without a check, so that a damaged store can be
looked at too: what can be read is shown, then the damage is named, and the exit
code is 2.`

const inspectExample = `  papyra inspect summary --store file:///var/lib/app
  papyra inspect streams --prefix order-
  papyra inspect stream order-17 --reverse --limit 10
  papyra inspect events --from 1000 --payload --format json`

func (a *app) inspectCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "inspect",
		Short:   "Show what a store holds",
		Long:    inspectLong,
		Example: inspectExample,
		Args:    unknownCommand,
		RunE: func(*cobra.Command, []string) error {
			return &usageError{errors.New("inspect what? summary, streams, stream NAME or events")}
		},
	}
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(a.summaryCommand(), a.streamsCommand(), a.streamCommand(), a.eventsCommand())
	return c
}

// notNegative is the check of a --limit.
func notNegative(limit int) error {
	if limit < 0 {
		return usagef("--limit %d: want 0 (no limit) or more", limit)
	}
	return nil
}

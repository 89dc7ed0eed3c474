package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	formatText = "text"
	formatJSON = "json"
)

const rootLong = `papyra looks at the stores of papyra's durable actors: what is in them, whether
they are whole, and what to do when they are not; and it does that.

recover and compact change a store: they show first what they are going to do, and
ask. import, copy and bench write, and make a store that is not there. Every other
command reads and changes nothing. Say which store with --store, or with the
environment variable PAPYRA_STORE.

Exit codes: 0 fine; 1 the operation failed; 2 anomalies found, or left; 3 the store
is locked or can't be reached; 64 wrong usage; 130 interrupted.`

const rootExample = `  papyra doctor --store file:///var/lib/app
  papyra scan --store file:///var/lib/app --format json
  PAPYRA_STORE=file:///var/lib/app papyra inspect summary
  papyra export --store file:///var/lib/app --out app.ndjson.zst
  papyra import --store file:///var/lib/new app.ndjson.zst
  papyra recover --store file:///var/lib/app --dry-run`

func (a *app) rootCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "papyra",
		Short:             "Look at, check, mend, export and import papyra stores",
		Long:              rootLong,
		Example:           rootExample,
		Version:           thisVersion().Version,
		Args:              unknownCommand,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: a.begin,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.SuggestionsMinimumDistance = 2
	c.SetFlagErrorFunc(flagError)
	flags := c.PersistentFlags()
	flags.StringVar(&a.store, "store", os.Getenv("PAPYRA_STORE"), "the store's `URL`, such as file:///var/lib/app (default $PAPYRA_STORE)")
	flags.StringVar(&a.format, "format", formatText, "output `format`: text or json")
	flags.BoolVar(&a.noProgress, "no-progress", false, "no progress bar, also on a terminal")
	flags.Lookup("store").DefValue = "" // a URL may hold a password: not for help texts
	c.SetHelpCommand(helpCommand(c))
	c.AddCommand(a.versionCommand(), a.inspectCommand(), a.scanCommand(), a.doctorCommand(),
		a.exportCommand(), a.importCommand(), a.copyCommand(), a.benchCommand(),
		a.startupCheckCommand(), a.recoverCommand(), a.compactCommand(), a.quarantineCommand())
	return c
}

// helpCommand is help, which cobra's own gives for a command that is not there too.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [command]",
		Short:   "Explain a command",
		Example: "  papyra help inspect streams",
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err == nil && len(rest) > 0 {
				err = unknownCommand(c, rest)
			}
			if err != nil {
				return &usageError{err}
			}
			return c.Help()
		},
	}
}

// begin runs before each command, once flags and arguments are known to be right.
func (a *app) begin(*cobra.Command, []string) error {
	if a.format != formatText && a.format != formatJSON {
		return fmt.Errorf("--format %s: want text or json", show(a.format))
	}
	a.started = true
	return nil
}

// flagError is an error of a flag's value in words for people: what was given, what is
// wanted.
func flagError(_ *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	wants := map[string]string{"int": "a number from 0", "uint64": "a number from 0", "bool": "true or false"}
	f := invalid.GetFlag()
	if want := wants[f.Value.Type()]; want != "" {
		return fmt.Errorf("--%s %s: want %s", f.Name, show(invalid.GetValue()), want)
	}
	return err
}

// unknownCommand is the check of arguments for commands that only have
// subcommands: it names the nearest one.
func unknownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("%s has no command %q: did you mean %q?", c.CommandPath(), args[0], near[0])
	}
	return fmt.Errorf("%s has no command %q", c.CommandPath(), args[0])
}

// noArguments is the check of arguments for commands that take none.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no argument, got %q (a store is named with --store URL)", c.CommandPath(), args[0])
	}
	return nil
}

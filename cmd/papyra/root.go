package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

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
ask. import, copy and bench write, and make a store that is not there; conformance
makes stores of its own. Every other command reads and changes nothing. Say which
store with --store, or with the environment variable PAPYRA_STORE.

Exit codes: 0 fine; 1 the operation failed; 2 anomalies found, or left; 3 the store
is locked or can't be reached; 64 wrong usage; 130 interrupted.`

const rootExample = `  papyra doctor --store file:///var/lib/app
  papyra scan --store file:///var/lib/app --format json
  PAPYRA_STORE=file:///var/lib/app papyra inspect summary
  papyra inspect events --type deposited --since 2h --store file:///var/lib/app
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
	a.store = os.Getenv("PAPYRA_STORE")
	flags.Var(&storeFlag{place: &a.store}, "store", "the store's `URL`, such as file:///var/lib/app (default $PAPYRA_STORE)")
	flags.StringVar(&a.format, "format", formatText, "output `format`: text or json")
	flags.StringVar(&a.color, "color", colorAuto, "`when` to use colours: auto (on a terminal, unless NO_COLOR is set), always or never")
	flags.BoolVar(&a.noProgress, "no-progress", false, "no progress bar, also on a terminal")
	a.completeGlobals(c)
	c.SetHelpCommand(helpCommand(c))
	c.CompletionOptions.DisableDefaultCmd = true // completionCommand has examples
	c.AddCommand(a.versionCommand(), a.inspectCommand(), a.scanCommand(), a.doctorCommand(),
		a.exportCommand(), a.importCommand(), a.copyCommand(), a.benchCommand(),
		a.startupCheckCommand(), a.recoverCommand(), a.compactCommand(), a.quarantineCommand(),
		a.conformanceCommand(), a.debugCommand(), a.completionCommand(), a.manCommand())
	return c
}

// storeFlag is --store, which names one store. It says nothing of its value: a URL may
// hold a password.
type storeFlag struct {
	place *string
	given bool
}

var errTwice = errors.New("given twice")

func (f *storeFlag) Set(value string) error {
	if f.given && value != *f.place { // completion reads the same flags twice
		return errTwice
	}
	*f.place, f.given = value, true
	return nil
}

func (f *storeFlag) String() string { return "" }

// Type returns what help texts call the value.
func (f *storeFlag) Type() string { return "URL" }

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
		return fmt.Errorf("--format %s: want text or json", value(a.format))
	}
	if !slices.Contains(colorModes, a.color) {
		return fmt.Errorf("--color %s: want auto, always or never", value(a.color))
	}
	a.colored = a.format == formatText && wantsColor(a.color, isTerminal(a.stdout), os.Getenv)
	a.started = true
	return nil
}

// flagError is an error of a flag in words for people: what was given, what is wanted.
func flagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		return unknownFlag(c, unknown)
	}
	var invalid *pflag.InvalidValueError
	switch {
	case !errors.As(err, &invalid):
		return err
	case errors.Is(err, errTwice):
		return fmt.Errorf("--%s names two stores: want one", invalid.GetFlag().Name)
	}
	wants := map[string]string{"int": "a number from 0", "uint64": "a number from 0", "bool": "true or false", momentType: momentForms}
	f := invalid.GetFlag()
	if errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("--%s %s: the number is too large", f.Name, value(invalid.GetValue()))
	}
	if want := wants[f.Value.Type()]; want != "" {
		return fmt.Errorf("--%s %s: want %s", f.Name, value(invalid.GetValue()), want)
	}
	return err
}

// unknownFlag names the flag that was probably meant, or the commands beside c that
// have it.
func unknownFlag(c *cobra.Command, err *pflag.NotExistError) error {
	name := err.GetSpecifiedName()
	if len(name) == 1 {
		return err
	}
	if near := nearest(c.Flags(), name); near != "" {
		return fmt.Errorf("%w: did you mean --%s?", err, near)
	}
	if names := having(c, name); len(names) > 0 {
		return fmt.Errorf("%w: it is for %s", err, strings.Join(names, ", "))
	}
	return err
}

// having are the commands beside c that have a flag of that name.
func having(c *cobra.Command, flag string) (names []string) {
	if !c.HasParent() {
		return nil
	}
	for _, beside := range c.Parent().Commands() {
		if beside.LocalFlags().Lookup(flag) != nil {
			names = append(names, beside.Name())
		}
	}
	return names
}

// nearest is the flag whose name is much like this one.
func nearest(flags *pflag.FlagSet, name string) string {
	names := &cobra.Command{SuggestionsMinimumDistance: 2}
	flags.VisitAll(func(f *pflag.Flag) {
		names.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	if near := names.SuggestionsFor(name); len(near) > 0 {
		return near[0]
	}
	return ""
}

// unknownCommand is the check of arguments for commands that only have
// subcommands: it names the nearest one.
func unknownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("%s has no command %s: did you mean %q?", c.CommandPath(), given(args[0]), near[0])
	}
	return fmt.Errorf("%s has no command %s", c.CommandPath(), given(args[0]))
}

// noArguments is the check of arguments for commands that take none.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no argument, got %s (a store is named with --store URL)", c.CommandPath(), given(args[0]))
	}
	return nil
}

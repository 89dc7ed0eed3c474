package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
)

const completionLong = `completion prints a script that teaches a shell to complete papyra's commands,
flags and their values, and, where a store is named with --store or PAPYRA_STORE,
the names of its streams.`

const completionExample = `  papyra completion bash > /etc/bash_completion.d/papyra
  papyra completion zsh > "${fpath[1]}/_papyra"
  papyra completion fish > ~/.config/fish/completions/papyra.fish
  papyra completion powershell | Out-String | Invoke-Expression`

var shells = []string{"bash", "zsh", "fish", "powershell"}

func (a *app) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "completion bash|zsh|fish|powershell",
		Short:     "Print a shell's script for completing papyra commands",
		Long:      completionLong,
		Example:   completionExample,
		ValidArgs: shells,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%s takes one shell's name (%s), got %s", c.CommandPath(), strings.Join(shells, ", "), count(len(args), "argument"))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			root := c.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.out)
			}
			return usagef("shell %s: want bash, zsh, fish or powershell", given(args[0]))
		},
	}
}

// completes says what a flag's value can be. The flag is there: anything else is a
// mistake in this program.
func completes(c *cobra.Command, flag string, values ...string) {
	if err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err)
	}
}

func (a *app) completeGlobals(root *cobra.Command) {
	completes(root, "format", formatText, formatJSON)
	completes(root, "color", colorModes...)
	var places []string
	for _, scheme := range backend.Schemes() {
		places = append(places, scheme+"://")
	}
	err := root.RegisterFlagCompletionFunc("store", cobra.FixedCompletions(places, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace))
	if err != nil {
		panic(err)
	}
}

const (
	completeNames = 200             // streams to offer
	completeWait  = 2 * time.Second // who presses Tab waits no longer
)

// completeStream offers the store's streams whose names begin as what was typed. Whatever
// goes wrong, there is nothing to offer: a shell has no place for an error.
func (a *app) completeStream(c *cobra.Command, args []string, begun string) (names []string, _ cobra.ShellCompDirective) {
	const files = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 || a.store == "" {
		return nil, files
	}
	ctx := c.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completeWait)
	defer cancel()
	b, _, err := a.open(ctx)
	if err != nil {
		return nil, files
	}
	defer b.Close()
	for s, err := range b.Streams(ctx, backend.StreamQuery{Prefix: begun, Limit: completeNames}) {
		if err != nil {
			break
		}
		if printable(s.Name) == s.Name { // what does not print can't be typed either
			names = append(names, s.Name)
		}
	}
	return names, files
}

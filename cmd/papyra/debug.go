package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	bbolt "go.etcd.io/bbolt/cmd/bbolt/command"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/bolt"
)

const debugLong = `debug runs the tools that engines bring along, as their makers wrote them: for those who
know the engine from inside. They know nothing of papyra, its locks and its checksums; some
of them write. Work on a copy.`

const debugBoltLong = `debug bolt runs the command bbolt. A store's URL among its arguments stands for the
file of that store, which nobody may have open for writing. What bbolt meets in a damaged
file may end the program with a stack; papyra scan does not.

Exit codes are papyra's: 0, or 1 if bbolt failed.`

func (a *app) debugCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "debug",
		Short:   "Run an engine's own tools",
		Long:    debugLong,
		Example: "  papyra debug bolt --help\n  papyra debug pebble --help",
		Args:    unknownCommand,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(a.debugBoltCommand(), a.debugPebbleCommand())
	return c
}

func (a *app) debugBoltCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "bolt [command] [argument...]",
		Short:              "Run the command bbolt",
		Long:               debugBoltLong,
		Example:            "  papyra debug bolt check bolt:///var/lib/app\n  papyra debug bolt page bolt:///var/lib/app 3",
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 || args[0] == "--help" || args[0] == "-h" {
				if err := c.Help(); err != nil {
					return err
				}
				fmt.Fprintln(a.out, "\nbbolt's own help:")
				args = []string{"--help"}
			}
			args, err := withFiles("bolt", args, func(dir string) ([]string, error) { return []string{filepath.Join(dir, bolt.FileName)}, nil })
			if err != nil {
				return err
			}
			tool := bbolt.NewRootCommand()
			tool.SetOut(c.OutOrStdout())
			return runTool(c, tool, args)
		},
	}
}

// withFiles puts an engine's own files in a store's directory in the place of URLs of its stores.
func withFiles(engine string, args []string, files func(dir string) ([]string, error)) (out []string, err error) {
	for _, arg := range args {
		if strings.HasPrefix(arg, engine+":") {
			other := &app{store: arg}
			p, err := other.place()
			if err != nil {
				return nil, err
			}
			if p.dir() == "" {
				return nil, usagef("%s names no directory: want %s:///absolute/path", p, engine)
			}
			if err := errors.Join(p.missing(), p.held()); err != nil { // bbolt would wait for ever
				return nil, &openError{p, err}
			}
			names, err := files(p.dir())
			if err != nil {
				return nil, &openError{p, err}
			}
			out = append(out, names...)
			continue
		}
		out = append(out, arg)
	}
	return out, nil
}

// runTool runs another's command under the name by which it was called here.
func runTool(c, tool *cobra.Command, args []string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %s met what it did not expect: %v", backend.ErrCorrupt, tool.Name(), p)
		}
	}()
	tool.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: c.CommandPath()}
	tool.SilenceErrors, tool.SilenceUsage = true, true
	tool.SetArgs(args)
	tool.SetIn(c.InOrStdin())
	tool.SetErr(c.ErrOrStderr())
	return tool.ExecuteContext(c.Context())
}

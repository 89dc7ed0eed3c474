package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/tool"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/pebble"
)

const debugPebbleLong = `debug pebble runs the tools that pebble brings along: db, find, lsm, manifest, sstable,
wal and others. A store's URL among its arguments stands for pebble's files in that store
that the tool wants (the newest manifest, all logs, or the directory), which nobody may have
open for writing; a plain path is not asked who has it.

Nothing is written into a store. The tools get a file system on which nothing can be changed,
and those that are there to write are left out: db set, db upgrade, db excise and db
checkpoint, which opens the store for writing too. A store that pebble has written behind
papyra's back has other files than papyra noted when it was closed, and is damaged from
then on; to copy one, copy its directory or run papyra copy.

Exit codes are papyra's: 0; 1 if a command of db printed an error; 64 for one that is not
there. What the other tools find only their output says, as their makers wrote them.`

func (a *app) debugPebbleCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "pebble [command] [argument...]",
		Short:              "Run pebble's tools, those that only read",
		Long:               debugPebbleLong,
		Example:            "  papyra debug pebble db check pebble:///var/lib/app\n  papyra debug pebble sstable properties pebble:///var/lib/app",
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 || args[0] == "--help" || args[0] == "-h" {
				if err := c.Help(); err != nil {
					return err
				}
				fmt.Fprintln(a.out, "\npebble's own help:")
				args = []string{"--help"}
			}
			tool := args[0]
			args, err := withFiles("pebble", args, func(dir string) ([]string, error) { return pebbleFiles(tool, filepath.Join(dir, pebble.FilesName)) })
			if err != nil {
				return err
			}
			said := &heard{to: c.ErrOrStderr()}
			c.SetErr(said)
			if err := runTool(c, pebbleTools(), args); err != nil || !said.anything {
				return err
			}
			return errors.New("pebble has printed an error")
		},
	}
}

// pebbleFiles are the files that one of pebble's tools wants of a directory: some want it
// itself.
func pebbleFiles(tool, dir string) ([]string, error) {
	switch tool {
	case "manifest", "lsm":
		d, err := engine.Peek(dir, untouched{vfs.Default})
		if err == nil && !d.Exists {
			err = fmt.Errorf("%w: it has no list of files", backend.ErrCorrupt)
		}
		if err != nil {
			return nil, err
		}
		return []string{d.ManifestFilename}, nil
	case "wal":
		return filepath.Glob(filepath.Join(dir, "*.log"))
	}
	return []string{dir}, nil
}

// pebbleTools are pebble's tools, without those that write.
func pebbleTools() *cobra.Command {
	root := &cobra.Command{Use: "pebble"}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(tool.New(tool.FS(untouched{vfs.Default})).Commands...)
	for _, c := range append(root.Commands(), root) {
		if !c.Runnable() { // cobra would print the help, and call it a success
			c.Args, c.RunE = cobra.ArbitraryArgs, helpOrUnknown
		}
		for _, writes := range c.Commands() {
			switch writes.CommandPath() {
			case "pebble db set", "pebble db upgrade", "pebble db excise", "pebble db checkpoint":
				leaveOut(writes)
			}
		}
	}
	return root
}

func helpOrUnknown(c *cobra.Command, args []string) error {
	if err := unknownCommand(c, args); err != nil {
		return &usageError{err}
	}
	return c.Help()
}

// leaveOut has a command do nothing but say why.
func leaveOut(c *cobra.Command) {
	c.Hidden, c.DisableFlagParsing, c.Args, c.Run = true, true, nil, nil
	c.RunE = func(c *cobra.Command, _ []string) error {
		return usagef("%s is left out: it writes files of which papyra knows nothing, and the store is damaged from then on; papyra copy copies a store", c.CommandPath())
	}
}

// heard is where errors are printed, and whether any were.
type heard struct {
	to       io.Writer
	anything bool
}

func (h *heard) Write(b []byte) (int, error) {
	h.anything = h.anything || len(bytes.TrimSpace(b)) > 0
	return h.to.Write(b)
}

// untouched is a file system on which nothing can be changed.
type untouched struct{ vfs.FS }

func refused(what, name string) error {
	return &os.PathError{Op: what, Path: name, Err: errors.New("debug pebble changes nothing")}
}

func (untouched) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return nil, refused("create", name)
}

func (untouched) OpenReadWrite(name string, _ vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	return nil, refused("open for writing", name)
}

func (untouched) ReuseForWrite(_, name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return nil, refused("create", name)
}

func (untouched) Link(_, name string) error                 { return refused("link", name) }
func (untouched) Rename(_, name string) error               { return refused("rename to", name) }
func (untouched) Remove(name string) error                  { return refused("remove", name) }
func (untouched) RemoveAll(name string) error               { return refused("remove", name) }
func (untouched) MkdirAll(name string, _ os.FileMode) error { return refused("make", name) }

// Lock does nothing: it would make a file, which is none of a store's.
func (untouched) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// Unwrap returns what is below.
func (u untouched) Unwrap() vfs.FS { return u.FS }

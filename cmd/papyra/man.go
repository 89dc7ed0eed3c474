package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommand writes the manual pages, for whoever packages papyra.
func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "Write the manual pages into a directory",
		Long:    "man writes one manual page for each command into a directory, which it makes\nif it is not there.",
		Example: "  papyra man /usr/local/share/man/man1",
		Hidden:  true,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%s takes one directory, got %s", c.CommandPath(), count(len(args), "argument"))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return &hinted{"name a directory that can be written", err}
			}
			root := c.Root()
			root.DisableAutoGenTag = true // equal programs write equal pages
			header := &doc.GenManHeader{Section: "1", Source: "papyra " + thisVersion().Version, Manual: "papyra", Date: built()}
			return doc.GenManTree(root, header, args[0])
		},
	}
}

// built is the time of the commit that this program was built from; nil, which stands for
// $SOURCE_DATE_EPOCH or now, if the build did not say.
func built() *time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			if t, err := time.Parse(time.RFC3339, s.Value); err == nil {
				return &t
			}
		}
	}
	return nil
}

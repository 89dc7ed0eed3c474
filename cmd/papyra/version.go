package main

import (
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/bolt"
	"github.com/papyra-go/papyra/backend/file"
	"github.com/papyra-go/papyra/backend/pebble"
	"github.com/papyra-go/papyra/internal/lines"
)

// versionShape is what version says.
type versionShape struct {
	Schema   string         `json:"schema"`
	Version  string         `json:"version"`
	Revision string         `json:"revision,omitempty"`
	Modified bool           `json:"modified,omitempty"`
	Go       string         `json:"go"`
	Platform string         `json:"platform"`
	Engines  []string       `json:"engines"`
	Formats  map[string]int `json:"formats"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Say which papyra this is, and which engines and formats it knows",
		Example: "  papyra version\n  papyra version --format json",
		Args:    noArguments,
		RunE:    func(*cobra.Command, []string) error { return a.version() },
	}
}

func (a *app) version() error {
	v := thisVersion()
	if a.format == formatJSON {
		return a.document(v)
	}
	fmt.Fprintf(a.out, "papyra    %s\n", v.Version)
	if v.Revision != "" {
		fmt.Fprintf(a.out, "revision  %s%s\n", v.Revision, map[bool]string{true: " (modified)"}[v.Modified])
	}
	fmt.Fprintf(a.out, "go        %s %s\n", v.Go, v.Platform)
	fmt.Fprintf(a.out, "engines   %s\n", strings.Join(v.Engines, ", "))
	var formats []string
	for _, name := range slices.Sorted(maps.Keys(v.Formats)) {
		formats = append(formats, fmt.Sprintf("%s %d", name, v.Formats[name]))
	}
	_, err := fmt.Fprintf(a.out, "formats   %s\n", strings.Join(formats, ", "))
	return err
}

// thisVersion reads what the build left in the program.
func thisVersion() versionShape {
	v := versionShape{
		Schema:   "papyra.version/1",
		Version:  "(unknown)",
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Engines:  backend.Schemes(),
		Formats:  map[string]int{"bolt": bolt.FormatVersion, "export": lines.Format, "file": file.FormatVersion, "pebble": pebble.FormatVersion},
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

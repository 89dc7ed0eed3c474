package backend

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
)

// Directory is what an engine that keeps each store in a directory tells of one from
// outside, for tools: also of a store that can't be opened. Nothing is changed, and the
// store may be open meanwhile. Every such store has a file LOCK, which names who holds it, and
// a folder quarantine, if anything was ever put aside.
type Directory interface {
	// Look tells what the directory holds, by names and by how files begin.
	Look(dir string) Look
	// Unopened is what can be said of a store that does not open because it is damaged; full
	// asks for all that can be read. It is no scan: nothing says what belongs to the store.
	Unopened(ctx context.Context, dir string, full bool) ([]Anomaly, error)
	// Saved tells what a file in quarantine was, by its name. The checksum of the bytes is
	// CRC-32C.
	Saved(name string) Saved
	// Holds reports whether a marked hole of the store is of what was saved. It may tell
	// more of what that was.
	Holds(s *Saved, hole *Anomaly) bool
	// QuickHoles reports whether a quick scan tells of all marked holes.
	QuickHoles() bool
	// Salvage finds the whole records in saved bytes, in the order in which they stand
	// there. It believes nothing but the checksum that binds a record to its store and its
	// position. holes are those that it holds.
	Salvage(dir string, s Saved, data []byte, holes []Anomaly) ([]Salvaged, error)
}

// Look is what a directory holds.
type Look struct {
	Severity Severity // Notice: a store as it should be; Damage: none, or one that does not open
	Empty    bool     // there is nothing: no store was made here yet
	Detail   string   // for people
}

// Saved is what bytes in quarantine were.
type Saved struct {
	Of     string // what they are a part of, in a word; "file" if a file was saved whole
	ID     uint64 // which one; its meaning is the engine's
	Offset int64  // -1: all of it
	Length int64
	Sum    string // what the name says that their checksum is, in eight hexadecimal digits; empty: nothing
	Text   string // all this, for people
}

// Salvaged is a whole record that was found in saved bytes.
type Salvaged struct {
	Offset, Length int64 // in the bytes
	Record         Record
	Timed          bool // its time is proven; else it is what bytes say that may be damaged
}

// SchemeOf returns a registered scheme.
func SchemeOf(name string) (s Scheme, known bool) {
	schemes.Lock()
	defer schemes.Unlock()
	s, known = schemes.m[name]
	return s, known
}

// DirectoryOf is the directory that the URL of a store in a directory names:
// scheme:///absolute/path, scheme:relative/path or scheme://./relative/path. Anything else is
// [ErrInvalid].
func DirectoryOf(u *url.URL) (string, error) {
	path := u.Path
	if u.Opaque != "" {
		var err error
		if path, err = url.PathUnescape(u.Opaque); err != nil {
			return "", fmt.Errorf("%w: the path of a %s URL can't be parsed: %q", ErrInvalid, u.Scheme, u.Opaque)
		}
	}
	switch {
	case u.Host == "." || u.Host == "..":
		path = u.Host + path
	case u.Host != "" && u.Host != "localhost":
		return "", fmt.Errorf("%w: %[2]s://%[3]s%[4]s names a host, %[3]q: for the directory /%[3]s%[4]s write %[2]s:///%[3]s%[4]s, for one in the working directory %[2]s:%[3]s%[4]s",
			ErrInvalid, u.Scheme, u.Host, path)
	}
	if path == "" {
		return "", fmt.Errorf("%w: a %[2]s URL names a directory: %[2]s:///absolute/path or %[2]s:relative/path", ErrInvalid, u.Scheme)
	}
	return filepath.FromSlash(path), nil
}

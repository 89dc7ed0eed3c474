package pebble

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

// FilesName is the name of the directory of pebble's own files in a store's directory.
const FilesName = dbName

// directory is a backend.Directory: what tools tell of a store from outside.
type directory struct{}

// placeOf is where the store of a directory is.
func placeOf(dir string) place { return place{fs: disk{vfs.Default}, dir: dir, saves: dir} }

// Look tells a store from an empty directory and from anything else, and counts its files.
func (directory) Look(dir string) backend.Look {
	e := &engine{at: placeOf(dir)}
	fresh, err := look(e.at, false)
	if fresh {
		return backend.Look{Severity: backend.Damage, Empty: true}
	}
	if err == nil {
		err = e.checkFormat()
	}
	if err != nil {
		return unlike(err)
	}
	if there, err := e.at.has(dbName); err != nil {
		return unlike(err)
	} else if !there {
		return backend.Look{Severity: backend.Warning, Detail: fmt.Sprintf("a pebble store that a recovery was making when it was ended: the next opening for writing gives %s its name, %s", newName, dbName)}
	}
	return e.lookFiles()
}

// unlike is the look of what is no store, or none that can be read.
func unlike(err error) backend.Look {
	detail := strings.TrimPrefix(err.Error(), backend.ErrFormat.Error()+": ")
	if ce := (*backend.CorruptError)(nil); errors.As(err, &ce) {
		detail = "its " + ce.File + ": " + ce.Detail
	}
	return backend.Look{Severity: backend.Damage, Detail: detail}
}

// lookFiles tells of the files of a store whose format is known.
func (e *engine) lookFiles() backend.Look {
	sizes, err := e.at.sizes()
	if err != nil {
		return unlike(err)
	}
	sealed, err := e.at.has(sealName)
	if err != nil {
		return unlike(err)
	}
	tables, logs, bytes := 0, 0, int64(0)
	for name, size := range sizes {
		bytes += size
		if isTable(name) {
			tables++
		} else if isLog(name) {
			logs++
		}
	}
	look := backend.Look{Detail: fmt.Sprintf("a pebble store, tables: %d, logs: %d, %d bytes", tables, logs, bytes)}
	if !sealed {
		look.Detail += "; open for writing, or not closed well"
	}
	if e.strange {
		look.Severity = backend.Warning
		look.Detail += fmt.Sprintf("; its %s does not say what it is: the next opening for writing makes it again", storeName)
	}
	return look
}

// Unopened tells which files are missing, of another size, or not as they were written; of
// tables only if full.
func (directory) Unopened(ctx context.Context, dir string, full bool) (list []backend.Anomaly, err error) {
	e := &engine{at: placeOf(dir)}
	if there, err := e.at.has(dbName); err != nil || !there { // opening says so
		return nil, dbError("look for the files", err)
	}
	if list, err = e.survey(); err != nil || !full {
		return list, dbError("look at the files", err)
	}
	sizes, err := e.at.sizes()
	if err != nil {
		return list, dbError("list the files", err)
	}
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		if ctx.Err() != nil {
			return list, context.Cause(ctx)
		}
		if !isTable(name) {
			continue
		}
		t, err := openTable(e.at.fs, e.at.in(dbName), name)
		if err != nil {
			list = append(list, backend.Anomaly{Code: backend.Unreadable, Severity: backend.Damage, File: path.Join(dbName, name), Offset: -1, Detail: err.Error()})
			continue
		}
		_, err = t.check(func(a backend.Anomaly) error {
			list = append(list, a)
			return nil
		})
		if err := errors.Join(err, t.f.Close()); err != nil {
			return list, dbError("read a table", err)
		}
	}
	return list, nil
}

// Saved takes from a file's name what it says; of a log or a table, the ID is its number.
func (directory) Saved(name string) backend.Saved {
	own := ""
	s := kv.ParseSaved(name, func(name string) bool {
		own = name
		return matters(name)
	})
	if s.Of == "file" && s.Sum != "" {
		s.ID = number(own)
	}
	return s
}

// Holds compares the positions.
func (directory) Holds(s *backend.Saved, hole *backend.Anomaly) bool { return kv.HoldsHole(s, hole) }

// QuickHoles says no: holes are marked where the records were.
func (directory) QuickHoles() bool { return false }

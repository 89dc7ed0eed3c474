package bolt

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/disk"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

// directory is a backend.Directory: what tools tell of a store from outside.
type directory struct{}

// Look tells a store from an empty directory and from anything else, and reads its meta
// pages.
func (directory) Look(dir string) backend.Look {
	bad := func(format string, args ...any) backend.Look {
		return backend.Look{Severity: backend.Damage, Detail: fmt.Sprintf(format, args...)}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return bad("the directory can't be read: %v", cause(err))
	}
	var names []string
	kept := false
	for _, e := range entries {
		switch e.Name() {
		case fileName:
			return lookFile(filepath.Join(dir, fileName))
		case "lost+found", lockName, tmpName:
		case quarantineDir:
			kept = true
		default:
			names = append(names, e.Name())
		}
	}
	switch {
	case len(names) > 0:
		return bad("no bolt store: it has no %s but %s", fileName, disk.Sample(names))
	case kept:
		return bad("a %s without a %s: a damaged store, not a new one", quarantineDir, fileName)
	}
	return backend.Look{Severity: backend.Damage, Empty: true}
}

// cause is what an error of the operating system says without the path.
func cause(err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func lookFile(path string) backend.Look {
	f, err := disk.OpenFile(path, os.O_RDONLY)
	if err != nil {
		return backend.Look{Severity: backend.Damage, Detail: fmt.Sprintf("its %s can't be read: %v", fileName, cause(err))}
	}
	defer f.Close()
	t, err := readTree(f)
	if err != nil {
		return backend.Look{Severity: backend.Damage, Detail: fmt.Sprintf("its %s is no file of bbolt that can be read: %v", fileName, err)}
	}
	look := backend.Look{Detail: fmt.Sprintf("a bolt store, %d bytes in pages of %d", t.size, t.meta.pageSize)}
	if !t.metas[0].sound || !t.metas[1].sound {
		look.Severity = backend.Warning
		look.Detail += "; one of its two meta pages is damaged"
	}
	return look
}

// Unopened says nothing: a store that does not open has no root, and opening says why.
func (directory) Unopened(context.Context, string, bool) ([]backend.Anomaly, error) { return nil, nil }

// Saved takes from a file's name what it says.
func (directory) Saved(name string) backend.Saved {
	return kv.ParseSaved(name, func(name string) bool { return name == fileName })
}

// Holds compares the positions.
func (directory) Holds(s *backend.Saved, hole *backend.Anomaly) bool { return kv.HoldsHole(s, hole) }

// QuickHoles says no: holes are marked where the records were.
func (directory) QuickHoles() bool { return false }

// Salvage finds the record in a value, and all those on the pages of a whole file, whichever
// page leads to them.
func (directory) Salvage(dir string, s backend.Saved, data []byte, _ []backend.Anomaly) ([]backend.Salvaged, error) {
	f, err := disk.OpenFile(filepath.Join(dir, fileName), os.O_RDONLY)
	if err != nil {
		return nil, openError(dir, err)
	}
	defer f.Close()
	t, err := readTree(f)
	if err != nil {
		return nil, err
	}
	var of salvaged
	if err := of.findJudge(t); err != nil {
		return nil, err
	}
	if of.judge == nil {
		return nil, &backend.CorruptError{File: fileName, Offset: -1, Detail: "it does not say which store it is"}
	}
	if s.Of == "value" {
		return of.judge.SalvageValue(data), nil
	}
	return salvagePages(of.judge, data, t.meta.pageSize), nil
}

// salvagePages looks for records on all leaves of a file with pages of that size.
func salvagePages(j *kv.Judge, data []byte, size int64) (list []backend.Salvaged) {
	seen := map[backend.Position]bool{}
	for at := int64(0); at+pageHeader <= int64(len(data)); at += size {
		h := parseHeader(data[at:])
		if h.flags != flagLeaf {
			continue
		}
		end := min(int64(len(data)), at+int64(1+h.overflow)*size)
		elems, _ := elements(data[at:end], h)
		for i := range elems {
			e := &elems[i]
			r, ok := j.Decode(e.value)
			if !ok || seen[r.Position] {
				continue
			}
			seen[r.Position] = true
			r.Payload, r.Meta = bytes.Clone(r.Payload), bytes.Clone(r.Meta)
			list = append(list, backend.Salvaged{Offset: at + int64(e.at), Length: int64(len(e.value)), Record: r, Timed: true})
		}
	}
	slices.SortFunc(list, func(a, b backend.Salvaged) int { return cmp.Compare(a.Offset, b.Offset) })
	return list
}

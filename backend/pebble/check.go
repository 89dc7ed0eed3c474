package pebble

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/papyra-go/papyra/backend"
)

// Check looks at who may use the store, and, if it is full, at every block of every table and
// at the log that is written. If a block is wrong, what can be read is read without pebble
// from then on: pebble would not go on behind it.
func (e *engine) Check(ctx context.Context, depth backend.ScanDepth, report func(backend.Anomaly) error) error {
	if err := e.permissions(report); err != nil {
		return err
	}
	if depth == backend.Full && e.damage.Load() == nil {
		odd, err := e.checkTables(ctx)
		if err == nil && odd {
			err = e.turn(ctx)
		}
		if err != nil {
			return err
		}
	}
	findings, err := e.checkLogs(depth)
	if err != nil {
		return err
	}
	if d := e.damage.Load(); d != nil {
		findings = d.findings
	}
	for i := range findings {
		if err := report(findings[i]); err != nil {
			return err
		}
	}
	return nil
}

// checkTables reports whether any block of a table is wrong.
func (e *engine) checkTables(ctx context.Context) (odd bool, err error) {
	var l live
	if err := l.ask(e.db); err != nil {
		return false, dbError("list the tables", err)
	}
	for _, name := range l.tables {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		t, err := openTable(e.at.fs, e.at.in(dbName), name)
		if errors.Is(err, fs.ErrNotExist) {
			var now live
			if err := now.ask(e.db); err == nil && slices.Contains(now.tables, name) {
				return true, nil
			}
			continue // compacted meanwhile
		}
		if refused(err) {
			return false, dbError("open a table", err)
		}
		if err != nil {
			return true, nil // what can't be read is found to be so
		}
		found := t.odd != nil
		_, err = t.check(func(backend.Anomaly) error {
			found = true
			return nil
		})
		if err := errors.Join(err, t.f.Close()); err != nil {
			return false, dbError("read a table", err)
		}
		if found {
			return true, nil
		}
	}
	return false, nil
}

// turnTries is how often tables that are compacted meanwhile are listed anew.
const turnTries = 20

// turn has the store read without pebble from then on. Nothing is written meanwhile; what
// is in memory is written to tables first, if that is possible.
func (e *engine) turn(ctx context.Context) error {
	e.writing.Lock()
	defer e.writing.Unlock()
	if e.damage.Load() != nil {
		return nil
	}
	if !e.opts.ReadOnly {
		_ = e.flush(ctx, healWait)
	}
	for try := 0; ; try++ {
		s, err := e.salvage(nil)
		if err != nil {
			return dbError("read what is damaged", err)
		}
		moved := slices.ContainsFunc(s.findings, func(a backend.Anomaly) bool { return a.Code == backend.MissingFile })
		switch {
		case moved && try < turnTries:
			s.close()
		case len(s.findings) == 0: // it was read well this time
			s.close()
			return nil
		case s.judge == nil:
			s.close()
			return &backend.CorruptError{File: dbName, Offset: -1, Detail: "what store it is can't be read any more: " + s.findings[0].String()}
		default:
			e.damage.Store(s)
			return nil
		}
	}
}

// checkLogs looks at the log that is written: what is in it is in memory too.
func (e *engine) checkLogs(depth backend.ScanDepth) (findings []backend.Anomaly, err error) {
	if depth == backend.Quick || e.opts.ReadOnly || e.damage.Load() != nil || e.m.failed() != nil {
		return nil, nil
	}
	sizes, err := e.at.sizes()
	if err != nil {
		return nil, dbError("list the files", err)
	}
	for _, name := range e.m.writtenLogs() {
		c, err := e.at.readLog(name, sizes[name])
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, dbError("read the log", err)
		}
		findings = append(findings, c.findings(name, false)...)
	}
	return findings, nil
}

func (m *medium) writtenLogs() []string {
	m.names.Lock()
	defer m.names.Unlock()
	return slices.Sorted(maps.Keys(m.writing))
}

// permissions reports what others than the owner may do.
func (e *engine) permissions(report func(backend.Anomaly) error) error {
	if _, real := e.at.fs.(disk); !real {
		return nil
	}
	info, err := os.Stat(e.at.dir)
	if err != nil {
		return dbError("look at the directory", err)
	}
	if info.Mode().Perm()&0o002 != 0 {
		a := backend.Anomaly{Code: backend.BadPermission, Severity: backend.Warning, File: ".", Offset: -1, Detail: fmt.Sprintf("everyone may change what is in the directory: mode %v", info.Mode())}
		if err := report(a); err != nil {
			return err
		}
	}
	for _, name := range []string{dbName, storeName, lockName} {
		info, err := os.Lstat(filepath.Join(e.at.dir, name))
		if err != nil || info.Mode().Perm()&0o077 == 0 {
			continue
		}
		severity := backend.Notice
		if info.Mode().Perm()&0o022 != 0 {
			severity = backend.Warning
		}
		a := backend.Anomaly{Code: backend.BadPermission, Severity: severity, File: name, Offset: -1, Detail: fmt.Sprintf("others than the owner may use it: mode %v", info.Mode())}
		if err := report(a); err != nil {
			return err
		}
	}
	return nil
}

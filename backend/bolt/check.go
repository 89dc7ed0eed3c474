package bolt

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/papyra-go/papyra/backend"
)

// checkTries is how often a check begins anew because two commits came between two of its
// reads.
const checkTries = 20

// Check looks at who may use the store, and, if it is full, at every page in use: reading the
// file, under a read transaction, so that bbolt uses none of them again meanwhile. bbolt's own
// check panics on damage in a goroutine of its own.
func (e *engine) Check(ctx context.Context, depth backend.ScanDepth, report func(backend.Anomaly) error) error {
	if err := e.permissions(report); err != nil {
		return err
	}
	if e.damage != nil {
		return reportAll(e.damage.findings, report)
	}
	if p := e.poison.Load(); p != nil && e.stuck.Load() {
		return *p
	}
	if depth == backend.Quick {
		return nil // opening has looked
	}
	for range checkTries {
		t, err := e.walkLive(ctx)
		if err != nil {
			return err
		}
		if t != nil {
			return reportAll(t.findings, report)
		}
	}
	return fmt.Errorf("%w: %s changed faster than its meta pages could be read", backend.ErrUnavailable, fileName)
}

func reportAll(list []backend.Anomaly, report func(backend.Anomaly) error) error {
	for i := range list {
		if err := report(list[i]); err != nil {
			return err
		}
	}
	return nil
}

// walkLive walks the tree of a read transaction; nil if its meta page was written over.
func (e *engine) walkLive(ctx context.Context) (*tree, error) {
	tx, err := e.begin(false)
	if err != nil {
		return nil, dbError("begin to read", err)
	}
	defer e.end(tx)
	t, err := readTree(e.file)
	if err != nil {
		return nil, err
	}
	t.meta = nil
	for i := range t.metas {
		if m := &t.metas[i]; m.sound && m.txid == uint64(tx.ID()) {
			t.meta = m
		}
	}
	if t.meta == nil {
		return nil, nil
	}
	t.gone = func() error { return context.Cause(ctx) }
	return t, t.check()
}

// permissions reports what others than the owner may do.
func (e *engine) permissions(report func(backend.Anomaly) error) error {
	info, err := os.Stat(e.dir)
	if err != nil {
		return dbError("look at the directory", err)
	}
	if info.Mode().Perm()&0o002 != 0 {
		a := backend.Anomaly{Code: backend.BadPermission, Severity: backend.Warning, File: ".", Offset: -1, Detail: fmt.Sprintf("everyone may change what is in the directory: mode %v", info.Mode())}
		if err := report(a); err != nil {
			return err
		}
	}
	for _, name := range []string{fileName, lockName} {
		info, err := os.Lstat(filepath.Join(e.dir, name))
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

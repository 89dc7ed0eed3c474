package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/disk"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

// rebuildBytes is how much one transaction of a rebuild writes.
const rebuildBytes = 4 << 20

// Recover makes a new file of what can be read of a damaged one, which is saved whole. If
// records are missing, a quarantine alone does: what is not in the new file is in doubt no more.
func (e *engine) Recover(ctx context.Context, plan backend.RecoveryPlan, q *kv.Quarantine) (actions []backend.RecoveryAction, fit bool, err error) {
	if e.damage == nil {
		return nil, true, nil
	}
	if e.damage.judge == nil || plan.Mode != backend.Quarantine && !e.damage.complete {
		return nil, false, nil
	}
	info, err := e.file.Stat()
	if err != nil {
		return nil, false, dbError("look at the file", err)
	}
	saved, err := q.SaveFrom(fileName, e.file, 0, info.Size())
	if err != nil {
		return nil, false, err
	}
	actions = []backend.RecoveryAction{{Action: "replace", File: fileName, Offset: -1, Length: info.Size(), Saved: saved,
		Detail: fmt.Sprintf("%d keys that can be read, in a new file; the damaged one is saved", len(e.damage.entries))}}
	if plan.DryRun {
		return actions, true, nil
	}
	e.wrote = true
	if err := e.rebuild(ctx); err != nil {
		return nil, false, openError(e.dir, err)
	}
	return actions, true, nil
}

// rebuild replaces the file.
func (e *engine) rebuild(ctx context.Context) error {
	t, err := readTree(e.file)
	if err != nil {
		return err
	}
	err = makeFile(e.dir, int(t.meta.pageSize), func(to *engine) error {
		to.packing = true
		for rest := e.damage.entries; len(rest) > 0; {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			n := 0
			err := to.Write(func(b kv.Batch) error {
				for size := 0; n < len(rest) && size < rebuildBytes; n++ {
					value, err := e.damage.value(rest[n], nil)
					if err != nil {
						continue // what it was of is missing then, and found to be
					}
					size += len(value)
					if err := b.Set([]byte(rest[n].key), value); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(e.dir, tmpName), filepath.Join(e.dir, fileName)); err != nil {
		return err
	}
	return e.turnTo(&engine{dir: e.dir, opts: e.opts, unclean: e.unclean})
}

// turnTo goes on with the new file. If that does not open, the handle is poisoned, and reads what
// was salvaged as before: the damaged file has lost its name, and is still open.
func (e *engine) turnTo(next *engine) error {
	if err := errors.Join(disk.SyncPath(e.dir), next.start(false)); err != nil {
		e.setPoison(fmt.Errorf("the new %s can't be opened: %w", fileName, openError(e.dir, err)))
		_ = next.Close()
		return *e.poison.Load()
	}
	old := e.file
	e.file, e.db, e.dbFile, e.pageSize, e.damage = next.file, next.db, next.dbFile, next.pageSize, next.damage
	_ = old.Close() // it was only read
	return nil
}

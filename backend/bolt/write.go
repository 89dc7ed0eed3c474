package bolt

import (
	"bytes"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/kv"
)

// placesFill is how full bbolt leaves a page of positions that it splits: they only grow at
// their end.
const placesFill = 0.95

// Write makes one transaction. What a commit that fails leaves decides:
//
//	the file can't grow, or a page can't be written: no space    ErrNoSpace, nothing stored
//	… for another reason                                         ErrPoisoned, nothing stored
//	the pages can't be synced, for any cause                     ErrPoisoned, nothing stored:
//	                                                             no meta page leads to them
//	the meta page is written, and can't be synced                ErrPoisoned and ErrUnknownOutcome
//	bbolt panics                                                 ErrPoisoned, and as the meta page says
//
// A sync that failed is never tried again, as a second one may succeed without having
// written a byte.
func (e *engine) Write(f func(kv.Batch) error) error {
	if p := e.poison.Load(); p != nil {
		return *p
	}
	if e.damage != nil {
		return e.damage.refusal()
	}
	if e.opts.ReadOnly {
		return fmt.Errorf("%w: the store is open read-only", backend.ErrUnsupported)
	}
	tx, err := e.begin(true)
	if err != nil {
		return dbError("begin to write", err)
	}
	done := false
	defer func() {
		if !done {
			e.end(tx)
		}
	}()
	if err := e.guard(func() error { return f(&batch{e: e, tx: tx}) }); err != nil {
		return err
	}
	id := uint64(tx.ID())
	if err := e.sign(tx, id); err != nil {
		return err
	}
	e.wrote = true
	if e.guardStuck(tx.Commit, &err) {
		e.stuck.Store(true)
	}
	done = true // also a commit that fails rolls back
	if err != nil {
		return e.failed(err, id)
	}
	return nil
}

// sign notes the transaction in the page of the root, as a sequence that nobody else uses:
// should the meta page that leads there be lost, the page is found by it.
func (e *engine) sign(tx *bbolt.Tx, id uint64) error {
	return e.guard(func() error {
		b, err := (&snapshot{e, tx}).bucket(tableMeta)
		if err == nil {
			err = b.SetSequence(id)
		}
		return err
	})
}

// failed says what a commit that failed leaves.
func (e *engine) failed(err error, id uint64) error {
	visible := true
	if metas, metaErr := readMetas(e.file); metaErr == nil {
		m := newestMeta(metas)
		visible = m == nil || m.txid >= id
	}
	switch {
	case visible:
		err = fmt.Errorf("%w: the last step of a commit failed: %w", backend.ErrUnknownOutcome, err)
	case noSpace(err) && !syncFailed(err) && e.poison.Load() == nil:
		return fmt.Errorf("%w: %s: %w", backend.ErrNoSpace, fileName, err)
	default:
		err = fmt.Errorf("a commit failed, and nothing was stored: %w", err)
	}
	e.setPoison(err)
	if visible {
		return fmt.Errorf("%w: %w", backend.ErrPoisoned, err)
	}
	return *e.poison.Load()
}

// batch is what a transaction writes. Write guards all that is done with it at once: a guard
// of each key would cost as much as a small key does.
type batch struct {
	e       *engine
	tx      *bbolt.Tx
	buckets [256]*bbolt.Bucket // by table
}

func (b *batch) bucket(table byte) (*bbolt.Bucket, error) {
	if bucket := b.buckets[table]; bucket != nil {
		return bucket, nil
	}
	bucket, err := (&snapshot{b.e, b.tx}).bucket(table)
	if err == nil {
		if table == tablePlaces || b.e.packing {
			bucket.FillPercent = placesFill
		}
		b.buckets[table] = bucket
	}
	return bucket, err
}

func (b *batch) Set(key, value []byte) error {
	bucket, err := b.bucket(key[0])
	if err == nil {
		err = bucket.Put(key, value)
	}
	return writeError(err)
}

func (b *batch) Delete(key []byte) error {
	bucket, err := b.bucket(key[0])
	if err == nil {
		err = bucket.Delete(key)
	}
	return writeError(err)
}

// DeleteRange collects the keys first: a cursor that deletes skips some.
func (b *batch) DeleteRange(low, high []byte) error {
	bucket, err := b.bucket(low[0])
	if err != nil {
		return writeError(err)
	}
	var keys [][]byte
	c := bucket.Cursor()
	for k, _ := c.Seek(low); k != nil && bytes.Compare(k, high) < 0; k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	for _, k := range keys {
		if err := bucket.Delete(k); err != nil {
			return writeError(err)
		}
	}
	return nil
}

func writeError(err error) error {
	if err == nil {
		return nil
	}
	return dbError("write", err)
}

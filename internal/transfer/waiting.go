package transfer

import (
	"context"

	"github.com/papyra-go/papyra/backend"
)

// groupBytes is how much is appended at a time: at most what a Backend writes as one
// group.
const groupBytes = 1 << 20

// recordBytes is more than what a Backend reckons a record at beyond its size.
const recordBytes = 128

// waiting is what waits to be written: copies of records in their order, of which those
// of one batch go together.
type waiting struct {
	records []backend.Record
	batches []backend.Batch // without their records
	starts  []int           // of each batch, in records
	arena   []byte          // the records' bytes
	weight  int
	last    int    // bytes of the last batch
	gone    uint64 // placeholders among the records
	bytes   uint64
	foreign bool // they bring no numbers
}

// full reports whether what waits should be written before rec is added, where a batch
// may have so many bytes. Batches stay whole unless they are larger than that.
func (w *waiting) full(rec *backend.Record, batchBytes int) bool {
	if len(w.records) == 0 {
		return false
	}
	if w.begins(rec) {
		return w.weight+rec.Size()+recordBytes > groupBytes
	}
	return w.last+rec.Size() > batchBytes
}

// begins reports whether rec is the first of a batch.
func (w *waiting) begins(rec *backend.Record) bool {
	n := len(w.batches)
	return n == 0 || rec.Batch.Place == 0 && !w.foreign || w.batches[n-1].Stream != rec.Stream || w.foreign && w.weight+rec.Size()+recordBytes > groupBytes
}

// add puts a copy of a record behind those that wait.
func (w *waiting) add(rec *backend.Record) {
	if w.begins(rec) {
		w.batches = append(w.batches, backend.Batch{Stream: rec.Stream, Expected: backend.Any, Restore: !w.foreign})
		w.starts = append(w.starts, len(w.records))
		w.last = 0
	}
	from := len(w.arena)
	w.arena = append(append(w.arena, rec.Payload...), rec.Meta...)
	mid, to := from+len(rec.Payload), len(w.arena)
	w.records = append(w.records, *rec)
	c := &w.records[len(w.records)-1]
	c.Payload, c.Meta = w.arena[from:mid:mid], nil
	if to > mid {
		c.Meta = backend.Meta(w.arena[mid:to:to])
	}
	w.last += rec.Size()
	w.weight += rec.Size() + recordBytes
	w.bytes += uint64(rec.Size())
}

// write appends what waits: as one group, all or none, or, if it is more than a group
// takes, batch by batch up to the first that fails.
func (w *waiting) write(ctx context.Context, b *backend.Backend) error {
	for i := range w.batches {
		end := len(w.records)
		if i+1 < len(w.starts) {
			end = w.starts[i+1]
		}
		w.batches[i].Records = w.records[w.starts[i]:end]
	}
	step := len(w.batches)
	if w.weight > groupBytes {
		step = 1
	}
	for i := 0; i < len(w.batches); i += step {
		results, err := b.AppendAll(ctx, w.batches[i:i+step])
		for j := range results {
			if err == nil {
				err = results[j].Err
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// reset forgets what waits, once it is written.
func (w *waiting) reset() {
	*w = waiting{records: w.records[:0], batches: w.batches[:0], starts: w.starts[:0], arena: w.arena[:0], foreign: w.foreign}
	if cap(w.arena) > 4*groupBytes {
		w.arena = nil
	}
}

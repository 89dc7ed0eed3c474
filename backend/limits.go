package backend

import "fmt"

// Limits that hold in every store, whatever its engine: the stored layouts and
// the engines' key sizes rest on them.
const (
	MaxStreamBytes = 512       // a stream's name
	MaxTypeBytes   = 256       // a record's type
	MaxMetaBytes   = 64 << 10  // a record's meta, encoded
	MaxBatchCount  = 1_000_000 // records in one batch

	// MaxNumber is the highest version, position and epoch that a caller may bring: no
	// store that counts on from there ever overflows.
	MaxNumber = 1 << 62
)

// Defaults of [Limits], and the most that [Options.Limits] may ask for.
const (
	DefaultMaxRecordBytes = 16 << 20
	DefaultMaxBatchBytes  = 32 << 20
)

// Limits bound what one append may carry. They are checked before anything is
// allocated, on the way in and on the way out. A zero field stands for its
// default, which is also the most it can be.
type Limits struct {
	RecordBytes int // [Record.Size] of one record; default [DefaultMaxRecordBytes]
	BatchBytes  int // the sum over one batch; default [DefaultMaxBatchBytes]
}

// within fills in what is zero and lowers what exceeds the bound.
func (l Limits) within(bound Limits) Limits {
	return Limits{
		RecordBytes: lower(l.RecordBytes, bound.RecordBytes),
		BatchBytes:  lower(l.BatchBytes, bound.BatchBytes),
	}
}

func lower(n, bound int) int {
	if n == 0 || bound != 0 && bound < n {
		return bound
	}
	return n
}

func (l Limits) check() error {
	if l.RecordBytes < 0 || l.RecordBytes > DefaultMaxRecordBytes {
		return fmt.Errorf("%w: Limits.RecordBytes is %d: want 0 to %d", ErrInvalid, l.RecordBytes, DefaultMaxRecordBytes)
	}
	if l.BatchBytes < 0 || l.BatchBytes > DefaultMaxBatchBytes {
		return fmt.Errorf("%w: Limits.BatchBytes is %d: want 0 to %d", ErrInvalid, l.BatchBytes, DefaultMaxBatchBytes)
	}
	return nil
}

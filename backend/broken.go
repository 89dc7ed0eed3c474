package backend

import (
	"context"
	"fmt"
	"iter"
)

// broken stands in for a driver between a Reopen that failed and one that works.
type broken struct{ engine Info }

func (broken) err() error {
	return fmt.Errorf("%w: the store could not be opened again: call Reopen", ErrPoisoned)
}

func (d broken) Append(context.Context, []Batch) ([]Result, error) { return nil, d.err() }

func (d broken) Read(context.Context, Query) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) { yield(Record{}, d.err()) }
}

func (d broken) Head(context.Context, string) (Head, error) { return Head{}, d.err() }

func (d broken) Last(context.Context) (Position, error) { return 0, d.err() }

func (d broken) Streams(context.Context, StreamQuery) iter.Seq2[StreamInfo, error] {
	return func(yield func(StreamInfo, error) bool) { yield(StreamInfo{}, d.err()) }
}

func (d broken) Scan(context.Context, ScanPlan) iter.Seq2[Anomaly, error] {
	return func(yield func(Anomaly, error) bool) { yield(Anomaly{}, d.err()) }
}

func (d broken) Recover(context.Context, RecoveryPlan) (RecoveryStats, error) {
	return RecoveryStats{}, d.err()
}

func (d broken) Compact(context.Context, Cut) (CompactionStats, error) {
	return CompactionStats{}, d.err()
}

func (d broken) Info() Info { return d.engine }

func (broken) Close() error { return nil }

package backend

import (
	"context"
	"fmt"
	"time"
)

// Append makes one batch durable, all or none, and returns its numbers. When it
// returns nil, the records survive the process and the power.
//
// Batches of all callers that wait at the same time are written together, at one
// sync; a caller never waits for company. If ctx ends while the batch is queued,
// its error comes back and nothing was written. Once the batch is being written,
// Append waits for the outcome, at most [Options.WriteTimeout], and then returns
// [ErrUnknownOutcome]; in that case alone the records may be read for as long as
// the store hangs, and must not be changed. (A caller whose ctx can never end, such
// as context.Background, may itself carry out the write, and then waits for as
// long as the operating system does.)
//
// Errors, each meaning that nothing was written unless it says otherwise:
// [ErrInvalid], [ErrTooLarge], [ErrConflict], [ErrFenced], [ErrOwned],
// [ErrCompacted], [ErrNoSpace], [ErrUnsupported], [ErrCorrupt] (the store is damaged so
// that it takes nothing, or that it can't judge the batch), [ErrUnavailable],
// [ErrPoisoned], [ErrClosed], the context's error, and [ErrUnknownOutcome].
func (b *Backend) Append(ctx context.Context, batch Batch) (Result, error) {
	r := b.commit.request()
	r.oneBatch[0] = batch
	r.batches, r.results = r.oneBatch[:], r.oneResult[:]
	return b.append(ctx, OpAppend, r)
}

// append sends a request of one batch on its way, and recycles it.
func (b *Backend) append(ctx context.Context, op Op, r *request) (res Result, err error) {
	batch := &r.oneBatch[0]
	stream := batch.Stream
	ctx, done := b.observe(ctx, Call{Op: op, Stream: stream, Batches: 1, Records: len(batch.Records), Bytes: batch.Size()})
	err = b.submit(ctx, r, op == OpSaveSnapshot)
	if res = r.oneResult[0]; err == nil || res.decided() {
		err = res.Err
		b.commit.recycle(r)
	}
	if err != nil {
		b.opts.Counters.WriteErrors.Add(1)
		err = b.wrap(ctx, op, stream, err)
		res = Result{Err: err}
	}
	done(err)
	return res, err
}

// AppendAll makes batches durable as Append does, with as few syncs as their
// sizes allow, and judges each alone: the verdicts stand in the results, in order,
// as if the batches had been appended one after the other. An error means that the
// call could not be carried on (the context ended, the backend is closed or
// poisoned, the outcome is unknown); it is then also the verdict of every batch
// that has no other.
func (b *Backend) AppendAll(ctx context.Context, batches []Batch) ([]Result, error) {
	call := Call{Op: OpAppend, Batches: len(batches)}
	for i := range batches {
		call.Records += len(batches[i].Records)
		call.Bytes += batches[i].Size()
	}
	ctx, done := b.observe(ctx, call)
	results := make([]Result, len(batches))
	err := b.appendAll(ctx, batches, results)
	for i := range results {
		if r := &results[i]; r.Err != nil {
			b.opts.Counters.WriteErrors.Add(1)
			*r = Result{Err: b.wrap(ctx, OpAppend, batches[i].Stream, r.Err)}
		}
	}
	err = b.wrap(ctx, OpAppend, "", err)
	done(err)
	return results, err
}

// appendAll cuts the batches into requests of at most one group each. Those that
// are not valid get their verdict here and are left out.
func (b *Backend) appendAll(ctx context.Context, batches []Batch, results []Result) (err error) {
	for i := 0; i < len(batches); {
		r := b.commit.request()
		var at []int
		for ; i < len(batches); i++ {
			size := weight(&batches[i])
			if len(at) > 0 && (r.size+size > groupBytes || batches[i].Restore != r.restores()) {
				break
			}
			if results[i].Err = b.admit(&batches[i], false); results[i].Err != nil || len(batches[i].Records) == 0 {
				continue
			}
			r.batches = append(r.batches, batches[i])
			r.size += size
			at = append(at, i)
		}
		r.results = make([]Result, len(at))
		if err == nil {
			err = b.submitAdmitted(ctx, r)
		}
		for j, i := range at {
			if results[i] = r.results[j]; err != nil && !r.results[j].decided() {
				results[i] = Result{Err: err}
			}
		}
	}
	return err
}

// submit validates a request's batches and has them written.
func (b *Backend) submit(ctx context.Context, r *request, snapshot bool) error {
	for i := range r.batches {
		if err := b.admit(&r.batches[i], snapshot); err != nil {
			return err
		}
		r.size += weight(&r.batches[i])
	}
	return b.submitAdmitted(ctx, r)
}

func (b *Backend) submitAdmitted(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if err := b.gate.enter(ctx); err != nil {
		return err
	}
	defer b.gate.leave()
	if b.opts.ReadOnly {
		return fmt.Errorf("%w: the backend was opened read-only", ErrUnsupported)
	}
	if p := b.poison.Load(); p != nil {
		return *p
	}
	if len(r.batches) == 0 || len(r.batches[0].Records) == 0 { // nothing to write; appendAll leaves empty ones out
		return nil
	}
	return b.commit.do(ctx, r)
}

// admit checks a batch against the rules and limits that do not depend on what is
// stored.
func (b *Backend) admit(batch *Batch, snapshot bool) error {
	if err := CheckStream(batch.Stream); err != nil {
		return err
	}
	if batch.Epoch > MaxNumber {
		return fmt.Errorf("%w: epoch %d: at most %d", ErrInvalid, batch.Epoch, uint64(MaxNumber))
	}
	if !batch.ID.IsZero() && batch.Expected == Any {
		return fmt.Errorf("%w: a batch with an ID needs an expected version", ErrInvalid)
	}
	if n := len(batch.Records); n > MaxBatchCount {
		return fmt.Errorf("%w: batch of %d records: at most %d", ErrTooLarge, n, MaxBatchCount)
	}
	total := 0
	for i := range batch.Records {
		r := &batch.Records[i]
		size := len(batch.Stream) + len(r.Type) + len(r.Meta) + len(r.Payload)
		if size > b.info.Limits.RecordBytes {
			return fmt.Errorf("%w: record %d of the batch has %d bytes: at most %d", ErrTooLarge, i, size, b.info.Limits.RecordBytes)
		}
		if err := checkRecord(batch, r, snapshot || batch.Restore); err != nil {
			return at(snapshot, i, err)
		}
		total += size
	}
	if total > b.info.Limits.BatchBytes {
		return fmt.Errorf("%w: batch of %d bytes: at most %d", ErrTooLarge, total, b.info.Limits.BatchBytes)
	}
	return nil
}

// at says which record of a batch an error is about.
func at(snapshot bool, i int, err error) error {
	if snapshot {
		return err
	}
	return fmt.Errorf("record %d of the batch: %w", i, err)
}

func checkRecord(batch *Batch, r *Record, snapshots bool) error {
	if err := checkName("type", r.Type, MaxTypeBytes); err != nil {
		return err
	}
	if err := r.Meta.Check(); err != nil {
		return err
	}
	if err := checkTime(r.Time); err != nil {
		return err
	}
	own := KindOf(batch.Stream)
	switch {
	case r.Kind == Snapshot && own == Event && snapshots:
		if r.Version == 0 {
			return fmt.Errorf("%w: a snapshot covers version 1 at least", ErrInvalid)
		}
	case r.Kind == Snapshot && own == Event:
		return fmt.Errorf("%w: kind snapshot: use SaveSnapshot", ErrInvalid)
	case r.Kind != own && (r.Kind != 0 || batch.Restore):
		return fmt.Errorf("%w: kind %v in stream %.80q, which holds kind %v", ErrInvalid, r.Kind, batch.Stream, own)
	}
	if batch.Restore && (r.Position == 0 || r.Version == 0 || r.Time.IsZero()) {
		return fmt.Errorf("%w: a restored record needs its position, version and time", ErrInvalid)
	}
	if batch.Restore && max(uint64(r.Position), uint64(r.Version), r.Epoch) > MaxNumber {
		return fmt.Errorf("%w: position %d, version %d, epoch %d: at most %d each", ErrInvalid, r.Position, r.Version, r.Epoch, uint64(MaxNumber))
	}
	return nil
}

// The times that fit in 64 bits of nanoseconds.
var (
	minTime = time.Unix(0, -1<<63).UTC()
	maxTime = time.Unix(0, 1<<63-1).UTC()
)

func checkTime(t time.Time) error {
	if t.IsZero() || !t.Before(minTime) && !t.After(maxTime) {
		return nil
	}
	return fmt.Errorf("%w: time %v: want one between %v and %v", ErrInvalid, t.UTC(), minTime, maxTime)
}

// SaveSnapshot makes a stream's state durable: r.Stream, r.Version (the version
// that the state covers, at least 1 and at most the stream's newest), Type,
// Schema, Time, Payload and Meta are used, and Epoch as in [Batch.Epoch]; the rest
// is ignored. It stands beside the stream, takes a position but no version, and
// does not change what the stream reads. Several may be saved at one version.
//
// A version that the stream has not reached is [ErrConflict]; other errors are
// Append's.
func (b *Backend) SaveSnapshot(ctx context.Context, r Record) (Position, error) {
	r.Kind = Snapshot
	req := b.commit.request()
	req.oneBatch[0] = Batch{Stream: r.Stream, Expected: Any, Epoch: r.Epoch, Records: []Record{r}}
	req.batches, req.results = req.oneBatch[:], req.oneResult[:]
	res, err := b.append(ctx, OpSaveSnapshot, req)
	return res.Position, err
}

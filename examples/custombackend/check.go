package custombackend

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

// wrongs are what SQLite finds in its pages and indexes, and the streams whose head and
// records do not agree.
const wrongs = `
SELECT 'bad-header', '', integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'
UNION ALL SELECT 'wrong-head', ifnull(name, stream), format('version %d, floor %d, and %d records from %d to %d', version, floor, n, first, newest) FROM streams
	FULL JOIN (SELECT stream, count(*) n, min(version) first, max(version) newest FROM records WHERE snapshot = 0 GROUP BY stream) ON stream = name
	WHERE name IS NULL OR version - floor + 1 <> ifnull(n, 0) OR n > 0 AND (first <> floor OR newest <> version)`

// Scan checks the newest record; a full scan every record, and what [wrongs] says.
func (s *store) Scan(ctx context.Context, plan backend.ScanPlan) iter.Seq2[backend.Anomaly, error] {
	return func(yield func(backend.Anomaly, error) bool) {
		w, last := row{decoder: codec.Decoder{Seed: s.seed}}, backend.Position(0)
		found := func(code backend.AnomalyCode, err error) (more bool) {
			if !errors.Is(err, backend.ErrCorrupt) { // the scan can't go on
				yield(backend.Anomaly{}, err)
				return false
			}
			return yield(backend.Anomaly{Code: code, Severity: backend.Damage, File: "database", Offset: -1, Stream: w.Stream, Version: w.Version, Position: w.Position, Detail: err.Error()}, nil)
		}
		query := columns + " ORDER BY position"
		if plan.Depth == backend.Quick {
			query += " DESC LIMIT 1"
		}
		_ = one(ctx, s.db, "SELECT ifnull(max(position), 0) FROM records", nil, &last) // of those that are left; an error comes again
		for err := range rows(ctx, s.db, query, nil, &w.Position, &w.Stream, &w.snapshot, &w.Version, &w.envelope) {
			if plan.Progress != nil && w.Position <= last {
				plan.Progress(int64(w.Position), int64(last))
			}
			if _, err = w.decode(err); err != nil && !found(backend.BadChecksum, err) {
				return
			}
		}
		if w = (row{}); plan.Depth == backend.Quick {
			return
		}
		for i, err := range s.heads(ctx, s.db, "") {
			if w.Stream = i.Name; err != nil && !found(backend.WrongHead, err) {
				return
			}
		}
		code, said := backend.AnomalyCode(""), ""
		for err := range rows(ctx, s.db, wrongs, nil, &code, &w.Stream, &said) {
			if err == nil {
				err = fmt.Errorf("%w: %s", backend.ErrCorrupt, said)
			}
			if !found(code, err) {
				return
			}
		}
	}
}

// Recover makes SQLite's indexes again from their tables. All else that a scan finds stays
// as it is: there is nothing to make it from.
func (s *store) Recover(ctx context.Context, plan backend.RecoveryPlan) (_ backend.RecoveryStats, err error) {
	actions := []backend.RecoveryAction{{Action: "rebuild", File: "database", Offset: -1, Detail: "the indexes, from their tables"}}
	if len(plan.Anomalies) > 0 && !plan.DryRun {
		err = s.change(ctx, func(tx *sql.Tx) error { return exec(ctx, tx, "REINDEX") })
	}
	return backend.RecoveryStats{Actions: actions[:min(len(plan.Anomalies), 1)]}, err
}

// Compact raises the floors and deletes what [backend.StreamFloor.Takes] says, in one
// transaction; then it gives the free pages back.
func (s *store) Compact(ctx context.Context, cut backend.Cut) (stats backend.CompactionStats, err error) {
	const size = "SELECT (SELECT count(*) FROM records), page_count * page_size FROM pragma_page_count, pragma_page_size"
	err = s.change(ctx, func(tx *sql.Tx) error {
		err := one(ctx, tx, size, nil, &stats.RecordsBefore, &stats.BytesBefore)
		for i := 0; err == nil && i < len(cut.Floors); i++ {
			f, h := cut.Floors[i], backend.Head{}
			h, err = s.head(ctx, tx, f.Stream)
			if h.Floor = max(h.Floor, f.Floor); err == nil {
				err = exec(ctx, tx, `UPDATE streams SET floor = ?4, sum = ?5 WHERE name = ?1;
					DELETE FROM records WHERE stream = ?1 AND version < ?2 - (snapshot AND NOT ?3)`, f.Stream, f.Floor, f.Delete, h.Floor, s.sum(backend.StreamInfo{Name: f.Stream, Head: h}))
			}
		}
		return err
	})
	if err == nil {
		err = exec(ctx, s.db, "PRAGMA incremental_vacuum")
	}
	if err == nil {
		err = one(ctx, s.db, size, nil, &stats.RecordsAfter, &stats.BytesAfter)
	}
	return stats, err
}

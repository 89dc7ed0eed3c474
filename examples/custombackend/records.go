package custombackend

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"math"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
)

// Append stores the records, which Sequenced has judged and numbered, and the heads that
// follow from them, in one transaction.
func (s *store) Append(ctx context.Context, records []backend.Record) error {
	return s.change(ctx, func(tx *sql.Tx) (err error) {
		for i := 0; err == nil && i < len(records); i++ {
			r, h := &records[i], backend.Head{}
			if h, err = s.head(ctx, tx, r.Stream); err == nil {
				h = h.After(r)
				err = exec(ctx, tx, "INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5); REPLACE INTO streams VALUES (?2, ?6, ?7, ?8, ?9)",
					r.Position, r.Stream, r.Kind == backend.Snapshot, r.Version, codec.Append(nil, r, s.seed, 0), h.Version, h.Epoch, h.Floor, s.sum(backend.StreamInfo{Name: r.Stream, Head: h}))
			}
		}
		return err
	})
}

// sum is the checksum of a row of the table streams: SQLite has none.
func (s *store) sum(i backend.StreamInfo) int64 {
	return int64(crc32.ChecksumIEEE(fmt.Appendf(nil, "%d %q %d %d %d", s.seed, i.Name, i.Head.Version, i.Head.Epoch, i.Head.Floor)))
}

// heads yields rows of the table streams, each with its checksum looked at.
func (s *store) heads(ctx context.Context, in querier, where string, args ...any) iter.Seq2[backend.StreamInfo, error] {
	return func(yield func(backend.StreamInfo, error) bool) {
		i, sum := backend.StreamInfo{}, int64(0)
		for err := range rows(ctx, in, "SELECT name, version, epoch, floor, sum FROM streams "+where, args, &i.Name, &i.Head.Version, &i.Head.Epoch, &i.Head.Floor, &sum) {
			if err == nil && sum != s.sum(i) {
				err = &backend.CorruptError{File: "streams", Offset: -1, Stream: i.Name, Detail: "the head's checksum does not hold, or there are records and no head"}
			}
			if !yield(i, err) {
				return
			}
		}
	}
}

// Head returns where the stream stands.
func (s *store) Head(ctx context.Context, stream string) (backend.Head, error) {
	return s.head(ctx, s.db, stream)
}

func (s *store) head(ctx context.Context, in querier, stream string) (h backend.Head, err error) {
	for i, e := range s.heads(ctx, in, "WHERE name = ?1 UNION ALL SELECT ?1, 0, 0, 0, -1 FROM records WHERE stream = ?1 LIMIT 1", stream) {
		h, err = i.Head, e
	}
	return h, err
}

// Last returns the newest position, also if its record was cut away.
func (s *store) Last(ctx context.Context) (p backend.Position, err error) {
	err = one(ctx, s.db, "SELECT max(ifnull((SELECT seq FROM sqlite_sequence), 0), ifnull(max(position), 0)) FROM records", nil, &p)
	return p, err
}

// Streams lists the streams by name. SQLite orders TEXT by its bytes, of which none is 0xff.
func (s *store) Streams(ctx context.Context, q backend.StreamQuery) iter.Seq2[backend.StreamInfo, error] {
	return s.heads(ctx, s.db, "WHERE name > ?1 AND name >= ?2 AND name < ?2 || CAST(x'ff' AS TEXT) ORDER BY name LIMIT iif(?3, ?3, -1)", q.After, q.Prefix, q.Limit)
}

// Read yields what q asks for: the store by position, or a stream by version. The Backend
// sees whether a version is missing.
func (s *store) Read(ctx context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	return func(yield func(backend.Record, error) bool) {
		order := map[bool]string{false: "ASC", true: "DESC"}[q.Reverse]
		query, args := columns+" WHERE position BETWEEN ? AND ? ORDER BY position "+order, []any{min(q.From, math.MaxInt64), min(q.To, math.MaxInt64)}
		if q.Stream != "" {
			query = fmt.Sprintf(columns+" WHERE version BETWEEN ? AND ? AND stream = ? AND snapshot = ? ORDER BY version %s, position %s", order, order)
			args = append(args, q.Stream, q.Kinds.Has(backend.Snapshot))
		}
		w, n := row{decoder: codec.Decoder{Seed: s.seed}}, 0
		for err := range rows(ctx, s.db, query, args, &w.Position, &w.Stream, &w.snapshot, &w.Version, &w.envelope) {
			r, err := w.decode(err)
			if err == nil && !q.Kinds.Has(r.Kind) {
				continue
			}
			if n++; !yield(r, err) || err != nil || n == q.Limit {
				return
			}
		}
	}
}

const columns = "SELECT position, stream, snapshot, version, record FROM records"

// row is what [columns] selects.
type row struct {
	backend.Record // the numbers that the columns say
	snapshot       bool
	envelope       sql.RawBytes
	decoder        codec.Decoder
}

// decode returns the record, whose bytes are the row's, if its checksum holds and it is the
// one that the columns promise.
func (w *row) decode(err error) (r backend.Record, _ error) {
	if err != nil { // there is no row
		return r, err
	}
	err = w.decoder.DecodeWhole(w.envelope, w.Position, 0, &r)
	if err == nil && (r.Stream != w.Stream || r.Version != w.Version || (r.Kind == backend.Snapshot) != w.snapshot) {
		err = errors.New("the columns do not say what the record does")
	}
	if err == nil || errors.Is(err, backend.ErrFormat) { // a newer version's is no damage
		return r, err
	}
	return r, &backend.CorruptError{File: "records", Offset: -1, Stream: w.Stream, Version: w.Version, Position: w.Position, Detail: err.Error()}
}

package transfer

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"runtime"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/internal/lines"
)

// endless is a store of so many records that it makes up as they are read; what is appended
// to it is counted and forgotten.
type endless struct {
	records uint64
	heads   map[string]backend.Head
	last    backend.Position
	payload []byte
}

const endlessStreams = 50

func endlessStream(p uint64) string { return fmt.Sprintf("stream-%02d", p%endlessStreams) }

func (e *endless) Append(_ context.Context, records []backend.Record) error {
	for i := range records {
		r := &records[i]
		e.heads[r.Stream] = e.heads[r.Stream].After(r)
		e.last = r.Position
	}
	return nil
}

func (e *endless) Read(_ context.Context, q backend.Query) iter.Seq2[backend.Record, error] {
	return func(yield func(backend.Record, error) bool) {
		for p, n := q.From, 0; p <= min(q.To, e.records) && (q.Limit == 0 || n < q.Limit); p, n = p+1, n+1 {
			r := backend.Record{Position: backend.Position(p), Stream: endlessStream(p), Version: backend.Version((p-1)/endlessStreams + 1),
				Kind: backend.Event, Time: time.Unix(0, int64(p)).UTC(), Payload: e.payload}
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (e *endless) Head(_ context.Context, stream string) (backend.Head, error) {
	return e.heads[stream], nil
}

func (e *endless) Last(context.Context) (backend.Position, error) {
	return max(e.last, backend.Position(e.records)), nil
}

func (e *endless) Streams(context.Context, backend.StreamQuery) iter.Seq2[backend.StreamInfo, error] {
	return func(func(backend.StreamInfo, error) bool) {}
}

func (e *endless) Scan(context.Context, backend.ScanPlan) iter.Seq2[backend.Anomaly, error] {
	return func(func(backend.Anomaly, error) bool) {}
}

func (e *endless) Recover(context.Context, backend.RecoveryPlan) (backend.RecoveryStats, error) {
	return backend.RecoveryStats{}, backend.ErrUnsupported
}

func (e *endless) Compact(context.Context, backend.Cut) (backend.CompactionStats, error) {
	return backend.CompactionStats{}, backend.ErrUnsupported
}

func (e *endless) Info() backend.Info { return backend.Info{Engine: "endless"} }
func (e *endless) Close() error       { return nil }

func endlessBackend(t *testing.T, records uint64) (*backend.Backend, *endless) {
	t.Helper()
	e := &endless{records: records, heads: map[string]backend.Head{}, payload: []byte(`{"text":"` + fmt.Sprintf("%0200d", 7) + `"}`)}
	b := opened(t)(backend.New(t.Context(), func(context.Context) (backend.Driver, error) { return backend.Sequenced(e), nil }, nil))
	t.Cleanup(func() { b.Close() })
	return b, e
}

// TestMemoryIsBoundedByTheBatch sends a store through an export into another, and looks at
// the heap on the way: it holds a group, and not what has gone through.
func TestMemoryIsBoundedByTheBatch(t *testing.T) {
	const records, most = 200_000, 24 << 20 // of some 70 MB that go through
	from, _ := endlessBackend(t, records)
	to, sink := endlessBackend(t, 0)
	pr, pw := io.Pipe()
	go func() {
		buf := bufio.NewWriterSize(pw, 1<<16)
		w, err := NewWriter(buf, lines.Head{})
		for item, itemErr := range Items(t.Context(), from) {
			if err == nil {
				err = itemErr
			}
			if err == nil {
				err = w.Put(item)
			}
			if err != nil {
				break
			}
		}
		if err == nil {
			err = w.Finish(records)
		}
		if err == nil {
			err = buf.Flush()
		}
		pw.CloseWithError(err)
	}()
	in, err := lines.NewReader(pr, false)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	x, err := ReadExport(in, "export")
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRestorer(t.Context(), to, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	n := 0
	err = r.Import(x, func(Stats) {
		if n++; n%20_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			if grown := int64(now.HeapAlloc) - int64(before.HeapAlloc); grown > most {
				t.Errorf("after %d records the heap has grown by %d bytes", n, grown)
			}
		}
	})
	if err != nil || sink.last != records || r.Records != records {
		t.Errorf("%d records restored, up to position %d: %v", r.Records, sink.last, err)
	}
}

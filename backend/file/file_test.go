package file

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/papyra-go/papyra/backend"
)

// openAt opens a store for a test, which fails if that does.
func openAt(t testing.TB, dir string, opts *Options) *backend.Backend {
	t.Helper()
	b, err := Open(context.Background(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// appendOne appends one event that says which it is.
func appendOne(t testing.TB, b *backend.Backend, stream string, payload string) backend.Result {
	t.Helper()
	res, err := b.Append(context.Background(), backend.Batch{Stream: stream, Expected: backend.Any,
		Records: []backend.Record{{Type: "said", Payload: []byte(payload)}}})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// contents reads the whole store, snapshots too, and returns a line for each record.
func contents(b *backend.Backend) (lines []string, err error) {
	for r, err := range b.Read(context.Background(), backend.Query{Kinds: backend.AllKinds}) {
		if err != nil {
			return lines, err
		}
		lines = append(lines, line(&r))
	}
	return lines, nil
}

func line(r *backend.Record) string {
	return fmt.Sprintf("%d %s@%d %v %s/%d %d %v %d %q %q", r.Position, r.Stream, r.Version, r.Kind, r.Type, r.Schema, r.Time.UnixNano(), r.Batch, r.Epoch, r.Payload, r.Meta)
}

func mustContents(t testing.TB, b *backend.Backend) []string {
	t.Helper()
	lines, err := contents(b)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestWhatWasAppendedIsThereAfterReopening(t *testing.T) {
	dir := t.TempDir()
	b := openAt(t, dir, nil)
	for i := range 50 {
		appendOne(t, b, fmt.Sprintf("s%d", i%7), fmt.Sprintf("payload %d", i))
	}
	if _, err := b.SaveSnapshot(context.Background(), backend.Record{Stream: "s1", Version: 3, Payload: []byte("state")}); err != nil {
		t.Fatal(err)
	}
	before := mustContents(t, b)
	if len(before) != 51 {
		t.Fatalf("%d records, want 51", len(before))
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = openAt(t, dir, nil)
	if after := mustContents(t, b); !slices.Equal(before, after) {
		t.Fatalf("before\n%q\nafter\n%q", before, after)
	}
	if res := appendOne(t, b, "s1", "more"); res.Version != 8 || res.Position != 52 {
		t.Fatalf("appended at %+v", res)
	}
	report, err := b.Scan(context.Background(), nil)
	if err != nil || len(report.Anomalies) > 0 {
		t.Fatal(report, err)
	}
}

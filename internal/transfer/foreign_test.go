package transfer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
)

func TestRotatedFilesAreReadOldestFirst(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"e.ndjson", "e.ndjson"},
		{"e e.1 e.2 e.10", "e.10 e.2 e.1 e"},
		{"b b.1 a.1 a", "b.1 b a.1 a"},
		{"e.2 e.1", "e.2 e.1"},
		{"e.1 e.2", "e.2 e.1"},
		{"log.2026 log.2025", "log.2026 log.2025"},
		{"d/e.1 e e.1 d/e", "d/e.1 d/e e.1 e"},
		{"e.x e.0 e.-1", "e.x e.0 e.-1"},
	} {
		if got := InOrder(strings.Fields(c.in)); !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s: %v, want %s", c.in, got, c.want)
		}
	}
}

func TestTimesOfLines(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		value string
		want  time.Time // zero: refused
	}{
		{`"2026-01-02T03:04:05Z"`, at},
		{`"2026-01-02T04:04:05.000000001+01:00"`, at.Add(1)},
		{`1767323045`, at},
		{`"1767323045"`, at},
		{`1767323045.25`, at.Add(250 * time.Millisecond)},
		{`1767323045000`, at},
		{`1767323045000000`, at},
		{`1767323045000000000`, at},
		{`0`, time.Unix(0, 0).UTC()},
		{`99999999999`, time.Time{}},
		{`-1`, time.Time{}},
		{`1e300`, time.Time{}},
		{`"now"`, time.Time{}},
		{`"0001-01-01T00:00:00Z"`, time.Time{}},
		{`"9999-01-01T00:00:00Z"`, time.Time{}},
		{`true`, time.Time{}},
		{`9999999999999999999999`, time.Time{}},
	} {
		var r backend.Record
		_, err := NDJSON{Stream: "s", TimeField: "at", Kind: backend.Event}.Decode([]byte(`{"at":`+c.value+`}`), &r)
		if c.want.IsZero() != (err != nil) || err == nil && !r.Time.Equal(c.want) {
			t.Errorf("%s: %v, %v", c.value, r.Time, err)
		}
	}
}

// appendAll imports lines, and ends after so many.
func appendAll(t *testing.T, b *backend.Backend, file string, all []string, most int) (*Appender, error) {
	t.Helper()
	a, err := NewAppender(t.Context(), b, NDJSON{Stream: "s", Kind: backend.Event}, false)
	if err != nil {
		return nil, err
	}
	for i, line := range all {
		if i == most {
			return a, errors.Join(errKilled, a.Flush())
		}
		if err := a.Line(file, i+1, []byte(line)); err != nil && !errors.Is(err, backend.ErrInvalid) {
			return a, err
		}
	}
	return a, a.Finish()
}

func TestAForeignImportGoesOnWhereItEnded(t *testing.T) {
	var all []string
	for i := range 100 {
		all = append(all, fmt.Sprintf(`{"n":%d}`, i), "bad")
	}
	for most := range len(all) {
		b := opened(t)(memory.New().Open(t.Context(), nil))
		if _, err := appendAll(t, b, "f", all, most); !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := appendAll(t, b, "f", all, -1); err != nil {
				t.Fatalf("after %d lines: %v", most, err)
			}
		}
		n := 0
		for r, err := range b.Read(t.Context(), backend.Query{}) {
			if err != nil || string(r.Payload) != all[2*n] {
				t.Fatalf("after %d lines: record %d is %s, %v", most, n, r.Payload, err)
			}
			n++
		}
		if n != 100 {
			t.Fatalf("after %d lines: %d records", most, n)
		}
		b.Close()
	}
}

func TestAForeignImportIsRefusedWhereItIsAnother(t *testing.T) {
	b := opened(t)(memory.New().Open(t.Context(), nil))
	defer b.Close()
	if _, err := appendAll(t, b, "f", []string{"1", "2"}, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := appendAll(t, b, "g", []string{"1", "2"}, -1); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("another file: %v", err)
	}
	if _, err := appendAll(t, b, "f", []string{"1", "3"}, -1); !errors.As(err, new(*DiffersError)) {
		t.Errorf("another line: %v", err)
	}
	if a, err := appendAll(t, b, "f", []string{"1", "2", "3"}, -1); err != nil || a.Records != 1 || a.Known != 2 {
		t.Errorf("a line more: %v", err)
	}
	must(t, b, backend.Batch{Stream: "s", Expected: backend.Any, Records: []backend.Record{{}}})
	if _, err := appendAll(t, b, "f", []string{"1", "2", "3"}, -1); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("the store has gone on: %v", err)
	}
}

// TestAForeignImportSkipsNoFile: a file that is put before those of an import that was
// through is in no store, and none of its lines counts as known.
func TestAForeignImportSkipsNoFile(t *testing.T) {
	b := opened(t)(memory.New().Open(t.Context(), nil))
	defer b.Close()
	if _, err := appendAll(t, b, "f", []string{"1", "2"}, -1); err != nil {
		t.Fatal(err)
	}
	a, err := NewAppender(t.Context(), b, NDJSON{Stream: "s", Kind: backend.Event}, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Line("e", 1, []byte("0")); err != nil {
		t.Fatal(err)
	}
	if err := a.Line("f", 1, []byte("1")); err != nil {
		t.Fatal(err)
	}
	if err := a.Line("f", 2, []byte("2")); !errors.As(err, new(*DiffersError)) {
		t.Errorf("a file before the first: %v", err)
	}
}

func TestATimeGoesByTheSizeOfItsNumber(t *testing.T) {
	for number, want := range map[string]string{
		"0":                      "1970-01-01T00:00:00Z",
		"9223372036":             "2262-04-11T23:47:16Z",
		"9223372037":             "",
		"99999999999":            "",
		"100000000000":           "1973-03-03T09:46:40Z",
		"1700000000123":          "2023-11-14T22:13:20.123Z",
		"1700000000123.5":        "2023-11-14T22:13:20.1235Z",
		"1.7e12":                 "2023-11-14T22:13:20Z",
		"9223372036854":          "2262-04-11T23:47:16.854Z",
		"9223372036855":          "",
		"99999999999999":         "",
		"9223372036854775":       "2262-04-11T23:47:16.854775Z",
		"9223372036854776":       "",
		"99999999999999999":      "",
		"100000000000000000":     "1973-03-03T09:46:40Z",
		"9223372036854775807":    "2262-04-11T23:47:16.854775807Z",
		"9223372036854775808":    "",
		"1e400":                  "",
		"-1":                     "",
		`"1700000000"`:           "2023-11-14T22:13:20Z",
		`"0x1p30"`:               "",
		`"1_000"`:                "",
		`"NaN"`:                  "",
		`"2262-04-11T23:48:00Z"`: "",
	} {
		at, err := moment([]byte(`{"t":`+number+`}`), "t")
		switch {
		case want == "" && err == nil:
			t.Errorf("%s: taken for %v", number, at)
		case want != "" && (err != nil || at.Format(time.RFC3339Nano) != want):
			t.Errorf("%s: %v, %v, want %s", number, at, err, want)
		}
	}
}

func TestWhatFollowsALineOfJSONIsNoCut(t *testing.T) {
	for line, want := range map[string]string{`{"a":1}x`: "not JSON: byte 8", `{"a":1`: "cut off after 6 bytes"} {
		for _, format := range []Foreign{Python{}, NDJSON{Stream: "s", Kind: backend.Event}} {
			var r backend.Record
			if _, err := format.Decode([]byte(line), &r); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s, %s: %v, want %s", format.Name(), line, err, want)
			}
		}
	}
}

func TestAnActorIsNamedByAnAddressOrAReference(t *testing.T) {
	deep := strings.Repeat(`{"_address":`, 5000) + "1" + strings.Repeat("}", 5000)
	for target, want := range map[string]string{
		`"s:1"`:                       "s:1",
		`{"system":"s","actor_id":1}`: "s:1",
		`{"_address":{"system":"s","actor_id":1}}`: "s:1",
		`{"_address":"s:1"}`:                       "s:1",
		`"` + strings.Repeat("x", 1023) + `é"`:     strings.Repeat("x", 1023),
		deep:                                       "",
		`null`:                                     "",
	} {
		begun := time.Now()
		if got := address([]byte(target), true); got != want {
			t.Errorf("%.60s: %q, want %q", target, got, want)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("%.60s: took %v", target, took)
		}
	}
}

// TestNoPositionIsGivenTwice: the newest position was a snapshot's that is gone, of a
// stream that lives on.
func TestNoPositionIsGivenTwice(t *testing.T) {
	ctx := t.Context()
	a := opened(t)(memory.New().Open(ctx, nil))
	defer a.Close()
	must(t, a, backend.Batch{Stream: "a", Records: []backend.Record{{}, {}, {}, {}}})
	for _, v := range []backend.Version{4, 1} {
		if _, err := a.SaveSnapshot(ctx, backend.Record{Stream: "a", Version: v}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Compact(ctx, backend.Cut{Floors: []backend.StreamFloor{{Stream: "a", Floor: 4}}}); err != nil {
		t.Fatal(err)
	}
	b := opened(t)(memory.New().Open(ctx, nil))
	defer b.Close()
	export := exported(t, a)
	for range 2 {
		if err := restore(ctx, b, export, nothing); err != nil {
			t.Fatal(err)
		}
		sameStanding(t, a, b)
		h, err := b.Head(ctx, backend.SystemStream(MarkerSystem, backend.Audit))
		if err != nil || h.Version != 1 {
			t.Errorf("the marker's stream: %+v, %v", h, err)
		}
	}
}

// FuzzForeign holds the decoders to it that no line makes them panic, or a record that the
// store refuses.
func FuzzForeign(f *testing.F) {
	f.Add([]byte(`{"kind": "event", "system_id": "s", "actor_address": {"system": "s", "actor_id": 1}, "event_type": "T", "payload": {"x": NaN}, "timestamp": 1.5}`))
	f.Add([]byte(`{"kind": "dead_letter", "system_id": "s", "target": {"_address": "a"}, "message_type": "M", "timestamp": 1700000000}`))
	f.Add([]byte(`{"a":{"b":1},"t":"2026-01-02T03:04:05Z"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		b := opened(t)(memory.New().Open(t.Context(), nil))
		defer b.Close()
		for _, format := range []Foreign{Python{}, NDJSON{StreamField: "a.b", TimeField: "t", TypeField: "c", Kind: backend.Event}, NDJSON{StreamField: "a", Kind: backend.Audit}} {
			a, err := NewAppender(t.Context(), b, format, true)
			if err != nil {
				t.Fatal(err)
			}
			err = a.Line("f", 1, line)
			if err != nil && !errors.Is(err, backend.ErrInvalid) {
				t.Errorf("%T: %v", format, err)
			}
			if err := a.Finish(); err != nil {
				t.Errorf("%T takes what the store refuses: %v", format, err)
			}
		}
	})
}

package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Each engine takes 200 events, some alone and some in batches, is closed, opened again
// and read: all of them, and stream by stream where it can.
func TestEveryEngineStoresAndReadsBack(t *testing.T) {
	const streams = 10
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			ctx := t.Context()
			dir := filepath.Join(t.TempDir(), "store")
			h := make(heads, streams)
			check(t, with(ctx, e, dir, 1, func(s store) error {
				write := s.(appender).writer()
				for i := range 50 {
					if err := write(h.next(nil, i%streams, 1)); err != nil {
						return err
					}
				}
				return write(h.next(nil, 3, 50))
			}))
			check(t, with(ctx, e, dir, 0, func(s store) error { return fill(ctx, s, h, 10, 4) }))
			if n := h.events(); n != 200 {
				t.Fatalf("%d events were written", n)
			}
			check(t, with(ctx, e, dir, 0, func(s store) error {
				check(t, verify(ctx, s, h))
				r, ok := s.(streamReader)
				for stream := 0; ok && stream < streams; stream++ {
					seq := uint64(0)
					check(t, r.readStream(ctx, stream, func(payload []byte) {
						if seq++; string(payload) != string(makeEvent(stream, seq).payload) {
							t.Errorf("stream %d, event %d is another", stream, seq)
						}
					}))
					if seq != h[stream] {
						t.Errorf("stream %d has %d events, want %d", stream, seq, h[stream])
					}
				}
				return nil
			}))
			more := append(heads{}, h...)
			more[0]++
			check(t, with(ctx, e, dir, 0, func(s store) error {
				if err := verify(ctx, s, more); err == nil {
					t.Error("one event too few was not noticed")
				}
				return nil
			}))
		})
	}
}

func TestManyWritersAreAllStored(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			l := tinyLab(t)
			got, err := l.append(t.Context(), e, load{writers: 8, batch: 1})
			check(t, err)
			if got.Value <= 0 || got.P50 <= 0 || got.P99 < got.P50 || got.P999 < got.P99 || got.Probe <= 0 || got.Flush <= 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// A tally notices an event that is missing, one that is there twice, and any bit that is
// not what it was.
func TestTallyTellsWhatWasWritten(t *testing.T) {
	h := heads{3, 4}
	want := h.tally()
	payload := append([]byte{}, makeEvent(0, 1).payload...)
	for i := range payload {
		payload[i] ^= 0x10
		var got tally
		got.add(payload)
		for _, e := range []event{makeEvent(0, 2), makeEvent(0, 3), makeEvent(1, 4), makeEvent(1, 3), makeEvent(1, 2), makeEvent(1, 1)} {
			got.add(e.payload)
		}
		if err := got.want(want); err == nil {
			t.Errorf("a changed byte %d was not noticed", i)
		}
		payload[i] ^= 0x10
	}
	if err := (heads{3, 3}).tally().want(want); err == nil {
		t.Error("a missing event was not noticed")
	}
}

// A run of everything that is measured, on stores as small as they can be: nothing but
// compaction may be missing, and nothing is left behind.
func TestEverythingIsMeasured(t *testing.T) {
	chosen := engines
	if testing.Short() {
		chosen = []engine{fileEngine, pebbleEngine, tidwallEngine}
	}
	l := tinyLab(t)
	r, err := measure(t.Context(), l, chosen, &progress{w: io.Discard, terminal: true})
	check(t, err)
	for _, row := range r.rows {
		for _, e := range chosen {
			_, missing := r.missing[row.name][e.name]
			if s := r.of(row.name, e.name); row.can(e) && len(s) != row.reps && !missing {
				t.Errorf("%s, %s: %d samples, want %d", row.title, e.name, len(s), row.reps)
			}
			if missing && row.group != compaction {
				t.Errorf("%s, %s: missing: %s", row.title, e.name, r.missing[row.name][e.name])
			}
		}
	}
}

func TestRunWritesItsFilesAndRemovesItsStores(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	var text, progressed strings.Builder
	check(t, run(t.Context(), []string{"-dir", dir, "-streams", "8", "-for", "2ms", "-runs", "1", "-rows", "append,stream", "-writers", "1,2", "-engines", "file, tidwall-wal",
		"-json", out + "/b.json", "-md", out + "/b.md", "-plot", out + "/b.svg"}, &text, &progress{w: &progressed}))
	for _, name := range []string{"b.json", "b.md", "b.svg"} {
		if b, err := os.ReadFile(filepath.Join(out, name)); err != nil || len(b) == 0 {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	if s := text.String(); !strings.Contains(s, "## 2 writers") || strings.Contains(s, "pebble ") && strings.Contains(s, "| pebble ") {
		t.Errorf("the report:\n%s", s)
	}
	if !strings.Contains(progressed.String(), "1/9 · 1 writer · file · 1/1\n") {
		t.Errorf("progress: %q", progressed.String())
	}
}

func TestWrongFlagsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-writers", "0"}, {"-writers", "x"}, {"-engines", "fil"}, {"-rows", "x"}, {"-streams", "3", "-writers", "4"}, {"-streams", "1000000"}, {"more"}} {
		if err := run(t.Context(), append(args, "-dir", t.TempDir()), io.Discard, &progress{w: io.Discard}); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}

func TestRunEndsWhenItsContextDoes(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, []string{"-dir", dir}, io.Discard, &progress{w: io.Discard}); err == nil {
		t.Error("no error")
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

func tinyLab(t *testing.T) *lab {
	l, err := newLab(settings{dir: t.TempDir(), writers: []int{1, 8}, rows: groups, time: 2 * time.Millisecond, runs: 1, long: true,
		streams: 16, perStream: 20, growFrom: 400, growTo: 1200, crowd: 3000})
	check(t, err)
	l.settle = func() {}
	t.Cleanup(func() { check(t, l.Close()) })
	return l
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// An engine that compacts, until papyra's own does: what is measured after and beside a
// compaction is measured on it.
func TestCompactionIsMeasuredWhereItIsSupported(t *testing.T) {
	e := fileEngine
	e.kind = compactingStore{}
	var compactions atomic.Int32
	e.open = func(ctx context.Context, dir string, writers int) (store, error) {
		s, err := openFile(ctx, dir, writers)
		if err != nil {
			return nil, err
		}
		return compactingStore{s.(fileStore), &compactions}, nil
	}
	l := tinyLab(t)
	l.rows, l.long = []string{disk, compaction}, false
	r, err := measure(t.Context(), l, []engine{e}, &progress{w: io.Discard, terminal: true})
	check(t, err)
	for _, name := range []string{"compact", "disk-compacted", "replay-compacted", "stream-compacted", "beside-compaction"} {
		if len(r.of(name, e.name)) != 1 {
			t.Errorf("%s: not measured: %v", name, r.missing[name])
		}
	}
	if s := r.of("beside-compaction", e.name); len(s) > 0 && (s[0].Value <= 0 || s[0].Twin <= 0) {
		t.Errorf("beside a compaction: %+v", s[0])
	}
	if n := compactions.Load(); n < 2 {
		t.Errorf("%d compactions", n)
	}
}

type compactingStore struct {
	fileStore
	compactions *atomic.Int32
}

func (s compactingStore) compact(context.Context) error {
	s.compactions.Add(1)
	time.Sleep(time.Millisecond)
	return nil
}

// SQLite takes its durability from settings that it says nothing about if they are
// misspelled.
func TestSQLiteSyncsEachCommit(t *testing.T) {
	check(t, with(t.Context(), sqliteEngine, t.TempDir(), 1, func(s store) error {
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2"} {
			var got string
			check(t, s.(*sqliteStore).QueryRow("PRAGMA "+pragma).Scan(&got))
			if got != want {
				t.Errorf("%s is %s, want %s", pragma, got, want)
			}
		}
		return nil
	}))
}

// Package kvtest has what the tests of the engines over kv share: a store with a bit of
// everything, and a judge of what becomes of it when it is damaged.
package kvtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/internal/machine"
)

// Opener opens the store under test.
type Opener func(context.Context, *backend.Options) (*backend.Backend, error)

// Truth is what a store holds, by stream and by position.
type Truth struct {
	streams map[string][]backend.Record // numbered, and then snapshots
	snaps   map[string][]backend.Record
	heads   map[string]backend.Head
	log     []backend.Record
}

// readAll reads what a query asks for.
func readAll(b *backend.Backend, q backend.Query) (list []backend.Record, err error) {
	for r, err := range b.Read(context.Background(), q) {
		if err != nil {
			return list, err
		}
		list = append(list, r.Clone())
	}
	return list, nil
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// MakeStore fills a place with what there is in a store: streams of all kinds, snapshots,
// batches, a cut, a stream that is gone, restored records.
func MakeStore(t testing.TB, open Opener) *Truth {
	t.Helper()
	ctx := context.Background()
	b := must(open(ctx, nil))
	rng := rand.New(rand.NewPCG(3, 4))
	add := func(stream string, n int) {
		batch := backend.Batch{Stream: stream, Expected: backend.Any}
		for range n {
			batch.Records = append(batch.Records, backend.Record{Type: "t", Payload: []byte(strings.Repeat("x", rng.IntN(60)))})
		}
		must(b.Append(ctx, batch))
	}
	names := []string{"a", "a\x01", "b/with a longer name", "cut", "gone", "ü"}
	for i := range 40 {
		add(names[i%len(names)], 1+i%3)
		if i%7 == 3 {
			h := must(b.Head(ctx, names[i%len(names)]))
			must(b.SaveSnapshot(ctx, backend.Record{Stream: names[i%len(names)], Version: h.Version, Payload: []byte("state")}))
		}
	}
	add("$sys/s/audit", 3)
	h := must(b.Head(ctx, "cut"))
	must(b.SaveSnapshot(ctx, backend.Record{Stream: "cut", Version: h.Version - 2, Payload: []byte("state")}))
	must(b.SaveSnapshot(ctx, backend.Record{Stream: "cut", Version: h.Version - 1, Payload: []byte("state")}))
	last := must(b.Last(ctx))
	must(b.Append(ctx, backend.Batch{Stream: "restored", Restore: true, Records: []backend.Record{
		{Kind: backend.Event, Position: last + 5, Version: 9, Time: time.Unix(1, 0)}, {Kind: backend.Event, Position: last + 7, Version: 10, Time: time.Unix(2, 0)}}}))
	must(b.Compact(ctx, backend.Cut{Floors: []backend.StreamFloor{{Stream: "cut", Floor: h.Version - 1}, {Stream: "gone", Delete: true}}}))
	add("a", 2)
	tr := takeTruth(t, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return tr
}

func takeTruth(t testing.TB, b *backend.Backend) *Truth {
	t.Helper()
	tr := &Truth{streams: map[string][]backend.Record{}, snaps: map[string][]backend.Record{}, heads: map[string]backend.Head{}}
	for info, err := range b.Streams(context.Background(), backend.StreamQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		tr.heads[info.Name] = info.Head
		tr.streams[info.Name] = must(readAll(b, backend.Query{Stream: info.Name}))
		tr.snaps[info.Name] = must(readAll(b, backend.Query{Stream: info.Name, Kinds: backend.KindSet(backend.Snapshot)}))
	}
	tr.log = must(readAll(b, backend.Query{Kinds: backend.AllKinds}))
	return tr
}

// whole reports a lie: what was read is not the beginning of the truth, or ends early without
// an error.
func whole(what string, got []backend.Record, err error, want []backend.Record) error {
	for i := range got {
		if i >= len(want) || !reflect.DeepEqual(got[i], want[i]) {
			return fmt.Errorf("%s: record %d is %v@%d position %d, and was not stored there", what, i, got[i].Stream, got[i].Version, got[i].Position)
		}
	}
	if err == nil && len(got) < len(want) {
		return fmt.Errorf("%s: %d records of %d, and no error", what, len(got), len(want))
	}
	if err != nil && !errors.Is(err, backend.ErrCorrupt) && !errors.Is(err, backend.ErrFormat) {
		return fmt.Errorf("%s: %v", what, err)
	}
	return nil
}

// lies reads everything in every way, and returns the first lie; failed is how many reads
// ended with an error.
func (tr *Truth) lies(b *backend.Backend) (failed int, lie error) {
	check := func(what string, q backend.Query, want []backend.Record) {
		got, err := readAll(b, q)
		if err != nil {
			failed++
		}
		if lie == nil {
			lie = whole(what, got, err, want)
		}
	}
	for name, want := range tr.streams {
		check("stream "+name, backend.Query{Stream: name}, want)
		back := slices.Clone(want)
		slices.Reverse(back)
		check("stream "+name+" reversed", backend.Query{Stream: name, Reverse: true}, back)
		check("snapshots of "+name, backend.Query{Stream: name, Kinds: backend.KindSet(backend.Snapshot)}, tr.snaps[name])
		h, err := b.Head(context.Background(), name)
		if err != nil {
			failed++
		} else if h != tr.heads[name] && lie == nil {
			lie = fmt.Errorf("head of %s: %+v, want %+v", name, h, tr.heads[name])
		}
	}
	check("the log", backend.Query{Kinds: backend.AllKinds}, tr.log)
	back := slices.Clone(tr.log)
	slices.Reverse(back)
	check("the log reversed", backend.Query{Kinds: backend.AllKinds, Reverse: true}, back)
	listed := 0
	for info, err := range b.Streams(context.Background(), backend.StreamQuery{}) {
		if err != nil {
			failed++
			listed = len(tr.heads)
			break
		}
		if _, known := tr.heads[info.Name]; !known && lie == nil {
			lie = fmt.Errorf("a stream %q is listed", info.Name)
		}
		listed++
	}
	if listed < len(tr.heads) && lie == nil {
		lie = fmt.Errorf("%d streams are listed of %d, and no error", listed, len(tr.heads))
	}
	return failed, lie
}

// kept looks that every record but those that damage hit can be read by itself, wherever
// holes are, and returns how many can't.
func (tr *Truth) kept(b *backend.Backend) (lost int, err error) {
	for name, list := range tr.streams {
		for i := range list {
			q := backend.Query{Stream: name, From: uint64(list[i].Version), To: uint64(list[i].Version)}
			got, err := readAll(b, q)
			if err := whole("one record", got, err, list[i:i+1]); err != nil {
				return lost, err
			}
			if err != nil {
				lost++
			}
		}
	}
	for i := range tr.log {
		p := uint64(tr.log[i].Position)
		got, err := readAll(b, backend.Query{From: p, To: p, Kinds: backend.AllKinds})
		if err := whole("one position", got, err, tr.log[i:i+1]); err != nil {
			return lost, err
		}
		if err != nil {
			lost++
		}
	}
	return lost, nil
}

var ignoring = &backend.Options{Startup: backend.Startup{Mode: backend.IgnoreAnomalies}}

// Counts are what a sweep counts.
type Counts struct {
	// Much says that so much is damaged at a time that what tells of a record may be lost with
	// it: what a quarantine has given up may then be gone without a mark, and a stream of
	// which nothing is left begins anew.
	Much bool

	cases, refused, harmless, found, mended, lost int
}

// Judge opens a damaged store, and looks that it never lies, that a scan tells of whatever a
// read does not get, that a recovery does what its dry run says, and that a quarantine
// leaves a clean store that goes on and has lost no more than most records.
func (c *Counts) Judge(t testing.TB, what string, open Opener, tr *Truth, most int) {
	t.Helper()
	c.cases++
	ctx := context.Background()
	b, err := open(ctx, ignoring)
	if err != nil {
		if !errors.Is(err, backend.ErrCorrupt) && !errors.Is(err, backend.ErrFormat) {
			t.Errorf("%s: open: %v", what, err)
		}
		c.refused++
		return
	}
	defer b.Close()
	failed, lie := tr.lies(b)
	if lie != nil {
		t.Errorf("%s: %v", what, lie)
		return
	}
	scan := must(b.Scan(ctx, nil))
	if failed > 0 && scan.Clean() {
		t.Errorf("%s: %d reads fail, and a scan finds nothing: %v", what, failed, scan.Anomalies)
		return
	}
	if scan.Clean() {
		c.harmless++
		return
	}
	c.found++
	for _, mode := range []backend.RecoveryMode{backend.Repair, backend.Quarantine} {
		plan := must(b.Recover(ctx, backend.RecoveryOptions{Mode: mode, DryRun: true}))
		done, err := b.Recover(ctx, backend.RecoveryOptions{Mode: mode})
		if err != nil {
			t.Errorf("%s: recover with %v: %v", what, mode, err)
			return
		}
		if !reflect.DeepEqual(plan.Actions, done.Actions) {
			t.Errorf("%s: %v says it will\n%+v\nand does\n%+v", what, mode, plan.Actions, done.Actions)
			return
		}
		lost, err := tr.kept(b)
		if err != nil && !(c.Much && mode == backend.Quarantine) {
			t.Errorf("%s: after %v: %v", what, mode, err)
			return
		}
		if mode == backend.Repair && done.After.Clean() {
			c.mended++
			if failed, lie := tr.lies(b); lie != nil || failed > 0 {
				t.Errorf("%s: repaired: %d reads fail, %v", what, failed, lie)
				return
			}
			break
		}
		if mode == backend.Quarantine {
			c.lost++
			if !done.After.Clean() {
				t.Errorf("%s: after a quarantine a scan finds %v\nbefore %v\nactions %v", what, done.After.Anomalies, scan.Anomalies, done.Actions)
				return
			}
			if lost > most {
				t.Errorf("%s: %d reads of one record fail after a quarantine, want %d at most\nbefore %v\nactions %v", what, lost, most, scan.Anomalies, done.Actions)
				return
			}
			again := must(b.Recover(ctx, backend.RecoveryOptions{Mode: mode}))
			if len(again.Actions) > 0 {
				t.Errorf("%s: a second quarantine does %v", what, again.Actions)
				return
			}
		}
	}
	last := must(b.Last(ctx))
	for name, h := range tr.heads {
		res, err := b.Append(ctx, backend.Batch{Stream: name, Expected: backend.Any, Records: []backend.Record{{Payload: []byte("more")}}})
		if err != nil || res.Position <= last || res.Version <= h.Version && !c.Much {
			t.Errorf("%s: append to %s: %+v, %v; it was at %d, the store at %d", what, name, res, err, h.Version, last)
			return
		}
	}
	if last < tr.log[len(tr.log)-1].Position {
		t.Errorf("%s: the store stands at %d, and was at %d", what, last, tr.log[len(tr.log)-1].Position)
	}
	if scan := must(b.Scan(ctx, nil)); !scan.Clean() {
		t.Errorf("%s: after appends a scan finds %v", what, scan.Anomalies)
	}
}

// Log says what was counted, and fails if nothing was found.
func (c *Counts) Log(t testing.TB, what string) {
	t.Helper()
	t.Logf("attack: %s: %d cases, %d refused to open, %d harmless, %d found, of which %d were repaired without loss and %d quarantined", what, c.cases, c.refused, c.harmless, c.found, c.mended, c.lost)
	if c.cases == 0 || c.found == 0 {
		t.Error("nothing was found")
	}
}

// AllNoticed fails if a scan found nothing in some of the stores: each byte that was damaged counts.
func (c *Counts) AllNoticed(t testing.TB) {
	t.Helper()
	if c.harmless > 0 {
		t.Errorf("nothing was found in %d damaged stores of %d", c.harmless, c.cases)
	}
}

// Times is how many cases a sweep has: a tenth of them under -short, and more in the long form.
func Times(normal, long int) int { return machine.Rounds(max(20, normal/10), normal, long) }

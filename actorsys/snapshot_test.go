package actorsys_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/file"
)

func TestAStateMayAskForItsSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		sys := start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone})
		ref := register(t, sys, &actorsys.Options[Account]{SnapshotEvery: 5, SnapshotWhen: func(a Account) bool {
			if a.Cents == 8 {
				panic("eight")
			}
			return a.Cents%3 == 0
		}}).Ref("ada")
		for i := range int64(11) {
			want(t, "balance", must(t, ref, Deposit{1}), i+1)
			must(t, ref, Balance) // no events: it is not asked
			synctest.Wait()
		}
		want(t, "snapshots at", snapshots(t, b, "account/ada"), "[3 5 6 9 10]")
		if _, lost, _ := sys.Dropped(); lost != 1 {
			t.Errorf("%d lost, want the one of the panic", lost)
		}
	})
}

// Neither encoding nor saving a snapshot holds a reply up.
func TestNoReplyWaitsForASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		codec := actorsys.Codec{Marshal: func(v any) ([]byte, error) {
			if _, ok := v.(Account); ok {
				<-goOn
			}
			return json.Marshal(v)
		}}
		b := open(t)
		accounts := register(t, start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone}), &actorsys.Options[Account]{Codec: codec, SnapshotEvery: 1})
		began := time.Now()
		for i := range int64(100) {
			want(t, "balance", must(t, accounts.Ref("ada"), Deposit{1}), i+1)
			want(t, "balance", must(t, accounts.Ref("bob"), Deposit{1}), i+1)
		}
		want(t, "time", time.Since(began), time.Duration(0))
		close(goOn)
		synctest.Wait()
		for _, stream := range []string{"account/ada", "account/bob"} {
			got := snapshots(t, b, stream)
			if len(got) == 0 || len(got) > 2 || got[len(got)-1] != 100 {
				t.Errorf("%s: snapshots at %v, want the newest", stream, got)
			}
		}
	})
}

// spoiled says that the snapshots of these versions are, where it is told so.
func spoiled(tell bool, versions ...backend.Version) func(r *backend.Record) error {
	return func(r *backend.Record) error {
		if r.Kind != backend.Snapshot || !slices.Contains(versions, r.Version) {
			return nil
		}
		err := &backend.CorruptError{Offset: -1, Detail: "flipped"}
		if tell {
			err.Stream, err.Version = r.Stream, r.Version
		}
		return err
	}
}

func undecodable(versions ...backend.Version) func(r *backend.Record) error {
	return func(r *backend.Record) error {
		if r.Kind == backend.Snapshot && slices.Contains(versions, r.Version) {
			r.Payload = []byte(`{"Cents":`)
		}
		return nil
	}
}

func olderSchema(versions ...backend.Version) func(r *backend.Record) error {
	return func(r *backend.Record) error {
		if r.Kind == backend.Snapshot && slices.Contains(versions, r.Version) {
			r.Schema = 77
		}
		return nil
	}
}

// A snapshot that can't be used costs time, as long as an older one or the events reach
// back; and the actor, in quarantine, where they don't.
func TestSnapshotsThatCannotBeUsedArePassedOver(t *testing.T) {
	for name, c := range map[string]struct {
		fault   func(*backend.Record) error
		cut     backend.Version // the events and snapshots below are gone
		events  int             // replayed
		quarant string          // why, if it is in quarantine
	}{
		"all sound":                    {nil, 0, 1, ""},
		"newest damaged":               {spoiled(true, 9), 0, 4, ""},
		"newest damaged, not known":    {spoiled(false, 9), 0, 4, ""},
		"middle damaged":               {spoiled(true, 6), 0, 1, ""},
		"two damaged":                  {spoiled(true, 9, 6), 0, 7, ""},
		"two damaged, not known":       {spoiled(false, 9, 6), 0, 7, ""},
		"first and last damaged":       {spoiled(true, 9, 3), 0, 4, ""},
		"first and last, not known":    {spoiled(false, 9, 3), 0, 10, ""},
		"all damaged":                  {spoiled(true, 9, 6, 3), 0, 10, ""},
		"newest undecodable":           {undecodable(9), 0, 4, ""},
		"all undecodable":              {undecodable(9, 6, 3), 0, 10, ""},
		"newest of another schema":     {olderSchema(9), 0, 4, ""},
		"all of another schema":        {olderSchema(9, 6, 3), 0, 10, ""},
		"cut, all sound":               {nil, 7, 1, ""},
		"cut, newest damaged":          {spoiled(true, 9), 7, 4, ""},
		"cut, newest, not known":       {spoiled(false, 9), 7, 4, ""},
		"cut, newest undecodable":      {undecodable(9), 7, 4, ""},
		"cut, all damaged":             {spoiled(true, 9, 6), 7, 0, "flipped"},
		"cut, all damaged, not known":  {spoiled(false, 9, 6), 7, 0, "flipped"},
		"cut, all undecodable":         {undecodable(9, 6), 7, 0, "unexpected end of JSON input"},
		"cut, all of another schema":   {olderSchema(9, 6), 7, 0, "77, the kind's is 0 (see Options.SnapshotUpcast)"},
		"cut, none of them undamaged ": {func(r *backend.Record) error { return errors.Join(spoiled(true, 9)(r), olderSchema(6)(r)) }, 7, 0, "77"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var f faults
				b := f.open(t)
				sys := start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone})
				accounts := register(t, sys, &actorsys.Options[Account]{SnapshotEvery: 3})
				for range 10 {
					must(t, accounts.Ref("ada"), Deposit{1})
					synctest.Wait()
				}
				sys.Shutdown(t.Context())
				if c.cut > 0 {
					if _, err := b.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{{Stream: "account/ada", Floor: c.cut}}}); err != nil {
						t.Fatal(err)
					}
				}
				f.setRecord(c.fault)
				sys = start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone})
				ref := register(t, sys, nil).Ref("ada")
				got, err := actorsys.Ask(t.Context(), ref, Balance)
				if c.quarant != "" {
					if !errors.Is(err, actorsys.ErrQuarantined) || !errors.Is(err, backend.ErrCompacted) || !strings.Contains(err.Error(),
						`stream "account/ada": its events begin at version 7, and no snapshot reaches them: `) || !strings.Contains(err.Error(), c.quarant) {
						t.Errorf("%d, %v", got, err)
					}
					f.setRecord(nil) // it has been repaired
					time.Sleep(time.Minute)
					want(t, "balance once repaired", must(t, ref, Deposit{1}), 11)
					return
				}
				if err != nil || got != 10 {
					t.Errorf("%d, %v", got, err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				activated, err := sys.WaitFor(ctx, func(f actorsys.Fact) bool { return f.Type == "actor-activated" })
				if err != nil || activated.Events != c.events {
					t.Errorf("%d events replayed, want %d; %v", activated.Events, c.events, err)
				}
			})
		})
	}
}

// The same with a byte that has really been flipped.
func TestASnapshotWithAFlippedByteIsPassedOver(t *testing.T) {
	dir := t.TempDir()
	opened := func() *backend.Backend {
		b, err := file.Open(t.Context(), dir, &file.Options{Options: backend.Options{Startup: backend.Startup{Mode: backend.IgnoreAnomalies}}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := opened()
	codec := actorsys.Codec{ // so that the snapshot can be found
		Marshal: func(v any) ([]byte, error) {
			data, err := json.Marshal(v)
			if _, state := v.(Account); state {
				data = append(data, "  the mark"...)
			}
			return data, err
		},
		Unmarshal: func(data []byte, v any) error { return json.Unmarshal(bytes.TrimSuffix(data, []byte("  the mark")), v) },
	}
	live(t, b, 5, &actorsys.Options[Account]{Codec: codec, SnapshotEvery: 4})
	want(t, "snapshots at", snapshots(t, b, "account/ada"), "[4]")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	flipped := 0
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, name := range names {
		data, err := os.ReadFile(name)
		if i := bytes.Index(data, []byte("the mark")); err == nil && i >= 0 {
			data[i] ^= 1
			flipped++
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	want(t, "files with the snapshot", flipped, 1)
	b = opened()
	defer b.Close()
	log, seen := watch()
	sys := start(t, actorsys.Config{Backend: b, Logger: log, Startup: backend.Startup{Mode: backend.IgnoreAnomalies}})
	defer sys.Shutdown(t.Context())
	want(t, "balance", must(t, register(t, sys, &actorsys.Options[Account]{Codec: codec}).Ref("ada"), Balance), 5)
	want(t, "times it was logged", seen.count("WARN a snapshot was passed over"), 1)
}

func TestSnapshotsOfOlderSchemasAreReadThroughUpcasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		live(t, b, 4, &actorsys.Options[Account]{SnapshotEvery: 4, SnapshotSchema: 1})
		if _, err := b.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{{Stream: "account/ada", Floor: 5}}}); err != nil {
			t.Fatal(err)
		}
		upcast := map[uint32]func([]byte) (Account, error){1: func(data []byte) (a Account, err error) {
			err = json.Unmarshal(data, &a)
			a.Cents *= 100
			return a, err
		}}
		want(t, "balance", live(t, b, 1, &actorsys.Options[Account]{SnapshotSchema: 2, SnapshotUpcast: upcast}), 401)
		upcast[1] = func([]byte) (Account, error) { panic("upcast") }
		ref := register(t, start(t, actorsys.Config{Backend: b}), &actorsys.Options[Account]{SnapshotSchema: 2, SnapshotUpcast: upcast}).Ref("ada")
		if _, err := actorsys.Ask(t.Context(), ref, Balance); !errors.Is(err, actorsys.ErrQuarantined) || !strings.Contains(err.Error(), "upcast") {
			t.Error(err)
		}
	})
}

// floorOf is the oldest version that a stream still has.
func floorOf(t *testing.T, b *backend.Backend, stream string) backend.Version {
	t.Helper()
	h, err := b.Head(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return h.Floor
}

func TestTruncationLeavesSoManySnapshotsAndWhatFollowsThem(t *testing.T) {
	for keep, want := range map[int]backend.Version{0: 7, 1: 10, 2: 7, 3: 4, 4: 1} {
		synctest.Test(t, func(t *testing.T) {
			b := open(t)
			sys := start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone})
			accounts := register(t, sys, &actorsys.Options[Account]{SnapshotEvery: 3, Truncate: true, SnapshotKeep: keep})
			for range 10 {
				for _, id := range []string{"ada", "bob"} {
					must(t, accounts.Ref(id), Deposit{1})
				}
				synctest.Wait()
			}
			if got := floorOf(t, b, "account/ada"); got != 1 {
				t.Errorf("cut to %d at once", got)
			}
			before := b.Metrics().Snapshot().CompactCount
			time.Sleep(2 * time.Minute)
			for _, id := range []string{"ada", "bob"} {
				if got := floorOf(t, b, "account/"+id); got != want {
					t.Errorf("keep %d: %s begins at %d, want %d", keep, id, got, want)
				}
			}
			if n := b.Metrics().Snapshot().CompactCount - before; n > 1 || want > 1 && n == 0 {
				t.Errorf("%d compactions", n)
			}
			sys.Shutdown(t.Context())
			if got := live(t, b, 1, nil); got != 11 {
				t.Errorf("balance %d", got)
			}
		})
	}
}

// What has not been read back does not count, and a stream that can't be read keeps all.
func TestNothingIsCutBehindSnapshotsThatCannotBeUsed(t *testing.T) {
	for name, c := range map[string]struct {
		fault func(*backend.Record) error
		want  backend.Version
	}{
		"damaged":        {spoiled(true, 9), 1},
		"undecodable":    {undecodable(9), 4},
		"another schema": {olderSchema(6), 4},
		"all":            {undecodable(3, 6, 9), 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			var f faults
			b := f.open(t)
			accounts := register(t, start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone}), &actorsys.Options[Account]{SnapshotEvery: 3, Truncate: true})
			f.setRecord(c.fault)
			for range 10 {
				must(t, accounts.Ref("ada"), Deposit{1})
				synctest.Wait()
			}
			time.Sleep(2 * time.Minute)
			if got := floorOf(t, b, "account/ada"); got != c.want {
				t.Errorf("%s: begins at %d, want %d", name, got, c.want)
			}
		})
	}
}

func TestATruncationThatAHoldForbidsIsMadeForTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		accounts := register(t, start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone}), &actorsys.Options[Account]{SnapshotEvery: 3, Truncate: true, SnapshotKeep: 1})
		fill := func(id string) {
			for range 4 {
				must(t, accounts.Ref(id), Deposit{1})
				synctest.Wait()
			}
		}
		for i := range 5 {
			fill(fmt.Sprint(i))
		}
		last, err := b.Last(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		release, err := b.Hold("reader", last)
		if err != nil {
			t.Fatal(err)
		}
		fill("held")
		time.Sleep(2 * time.Minute)
		for i := range 5 {
			want(t, "floor", floorOf(t, b, fmt.Sprint("account/", i)), 4)
		}
		want(t, "floor of what is held", floorOf(t, b, "account/held"), 1)
		release()
		fill("held")
		time.Sleep(2 * time.Minute)
		want(t, "floor of what was held", floorOf(t, b, "account/held"), 7)
	})
}

func TestWhatSnapshotsCannotBeIsRefused(t *testing.T) {
	sys := start(t, actorsys.Config{Backend: open(t)})
	for name, c := range map[string]struct {
		opts actorsys.Options[Account]
		want string
	}{
		"keep":               {actorsys.Options[Account]{SnapshotKeep: 2}, "SnapshotKeep without Truncate"},
		"negative":           {actorsys.Options[Account]{SnapshotKeep: -1, Truncate: true}, "SnapshotKeep is -1"},
		"keep and truncates": {actorsys.Options[Account]{SnapshotKeep: 2, Truncate: true}, ""},
	} {
		_, err := actorsys.Register(sys, name, accountEvents, &c.opts)
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTwoSnapshotsOfOneVersionCountAsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		ref := register(t, start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone}), &actorsys.Options[Account]{Truncate: true, SnapshotKeep: 2}).Ref("ada")
		snapshot := Do(func(turn *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
			turn.Snapshot()
			return nil, nil
		})
		for _, c := range []Do{deposit, deposit, snapshot, deposit, snapshot, snapshot, snapshot} {
			must(t, ref, c)
			synctest.Wait()
		}
		time.Sleep(2 * time.Minute)
		want(t, "snapshots at", snapshots(t, b, "account/ada"), "[2 3 3 3]")
		want(t, "floor", floorOf(t, b, "account/ada"), 3)
	})
}

// deposit adds a cent.
var deposit = Do(func(*actorsys.Turn, Account) ([]actorsys.Event[Account], error) {
	return []actorsys.Event[Account]{Deposited{1}}, nil
})

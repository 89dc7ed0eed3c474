package actorsys_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
)

// stored puts events into a stream as an earlier release of an application would have.
func stored(t *testing.T, b *backend.Backend, stream string, records ...backend.Record) {
	t.Helper()
	if _, err := b.Append(t.Context(), backend.Batch{Stream: stream, Expected: backend.Any, Records: records}); err != nil {
		t.Fatal(err)
	}
}

func old(name string, schema uint32, payload string) backend.Record {
	return backend.Record{Type: name, Schema: schema, Payload: []byte(payload)}
}

func TestOlderSchemasAreReadThroughUpcasts(t *testing.T) {
	b := open(t)
	stored(t, b, "account/ada", old("paid-in", 1, `{"Euros":2}`), old("renamed", 1, `{}`), old("deposited", 1, `{"Cents":5}`), old("deposited", 2, `{"Cents":6}`), old("moved", 3, `[1,2]`))
	type paidIn struct{ Euros int64 }
	accounts, err := actorsys.Register(start(t, actorsys.Config{Backend: b}), "account", actorsys.Events[Account]{
		actorsys.On[Deposited]("deposited", 2),
		actorsys.Upcast("deposited", 1, func(old struct{ Cents int64 }) []actorsys.Event[Account] {
			return []actorsys.Event[Account]{Deposited{old.Cents * 10}}
		}),
		actorsys.Upcast("paid-in", 1, func(old paidIn) []actorsys.Event[Account] {
			return []actorsys.Event[Account]{Deposited{old.Euros * 100}}
		}),
		actorsys.Upcast("renamed", 1, func(struct{}) []actorsys.Event[Account] { return nil }),
		actorsys.Upcast("moved", 3, func(old []int64) (out []actorsys.Event[Account]) {
			for _, n := range old {
				out = append(out, Deposited{n * 1000})
			}
			return out
		}),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := must(t, accounts.Ref("ada"), Deposit{1}); got != 3257 {
		t.Errorf("balance %d, want 3257", got)
	}
	all := events(t, b, "account/ada")
	if r := all[len(all)-1]; len(all) != 6 || r.Schema != 2 || r.Version != 6 {
		t.Errorf("%d events, the last %+v", len(all), r)
	}
}

func TestAnUnknownEventFailsTheActivationAndKeepsTheStream(t *testing.T) {
	b := open(t)
	for i, r := range []backend.Record{old("deposited", 2, `{}`), old("withdrawn", 1, `{}`), old("", 0, ``)} {
		stream := fmt.Sprint("account/", i)
		stored(t, b, stream, old("deposited", 1, `{"Cents":5}`), r)
		ref := startAccounts(t, b).Ref(fmt.Sprint(i))
		for range 2 {
			_, err := actorsys.Ask(t.Context(), ref, Deposit{1})
			var unknown *actorsys.UnknownEventError
			if !errors.Is(err, actorsys.ErrNotPersisted) || !errors.As(err, &unknown) || *unknown != (actorsys.UnknownEventError{stream, 2, r.Type, r.Schema}) {
				t.Errorf("%v", err)
			}
		}
		if n := len(events(t, b, stream)); n != 2 {
			t.Errorf("the stream has %d events now", n)
		}
	}
}

func TestBytesThatDoNotDecodeFailTheActivation(t *testing.T) {
	b := open(t)
	stored(t, b, "account/ada", old("deposited", 1, `{"Cents":5`))
	sys := start(t, actorsys.Config{Backend: b})
	ref := register(t, sys, nil).Ref("ada")
	if _, err := actorsys.Ask(t.Context(), ref, Deposit{1}); !errors.Is(err, actorsys.ErrNotPersisted) || !strings.Contains(err.Error(), `stream "account/ada" version 1: decoding event "deposited" schema 1`) {
		t.Errorf("%v", err)
	}
	if sys.AliveActors() != 0 || sys.RegistrySize() != 1 {
		t.Errorf("%d alive of %d", sys.AliveActors(), sys.RegistrySize())
	}
}

func TestAFailedActivationAnswersEveryoneWhoWaitsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		stored(t, b, "account/ada", old("unheard-of", 1, ``))
		tries, reading := 0, make(chan struct{})
		accounts, err := actorsys.Register(start(t, actorsys.Config{Backend: b}), "account", accountEvents, &actorsys.Options[Account]{Initial: func(string) Account {
			tries++
			<-reading
			return Account{}
		}})
		if err != nil {
			t.Fatal(err)
		}
		var answers []<-chan result
		for range 100 {
			answers = append(answers, ask(accounts.Ref("ada"), Balance))
		}
		synctest.Wait()
		close(reading)
		for _, a := range answers {
			if r := <-a; !errors.Is(r.err, actorsys.ErrNotPersisted) {
				t.Errorf("%v", r)
			}
		}
		if tries != 1 {
			t.Errorf("the stream was replayed %d times", tries)
		}
	})
}

func TestAnActorBeginsInItsInitialState(t *testing.T) {
	accounts := register(t, start(t, actorsys.Config{Backend: open(t)}), &actorsys.Options[Account]{Initial: func(id string) Account { return Account{int64(len(id))} }})
	if got := must(t, accounts.Ref("four"), Deposit{10}); got != 14 {
		t.Errorf("balance %d", got)
	}
}

func TestACodecEncodesEventsAndSnapshots(t *testing.T) {
	b := open(t)
	codec := actorsys.Codec{
		Marshal: func(v any) ([]byte, error) {
			data, err := json.Marshal(v)
			return append([]byte("!"), data...), err
		},
		Unmarshal: func(data []byte, v any) error {
			if data[0] != '!' {
				return errors.New("not mine")
			}
			return json.Unmarshal(data[1:], v)
		},
	}
	for range 2 {
		sys := start(t, actorsys.Config{Backend: b})
		ref := register(t, sys, &actorsys.Options[Account]{Codec: codec, SnapshotEvery: 2}).Ref("ada")
		for range 3 {
			must(t, ref, Deposit{1})
		}
		if err := sys.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	snapshot, err := b.Snapshot(t.Context(), "account/ada", 0)
	if err != nil || string(snapshot.Payload) != `!{"Cents":6}` || string(events(t, b, "account/ada")[5].Payload) != `!{"Cents":1}` {
		t.Errorf("%+v, %v", snapshot, err)
	}
}

func TestACodecThatFailsIsAnErrorAndStoresNothing(t *testing.T) {
	b := open(t)
	broken := actorsys.Codec{Marshal: func(any) ([]byte, error) { return nil, errors.New("broken") }}
	ref := register(t, start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone}), &actorsys.Options[Account]{Codec: broken}).Ref("ada")
	if _, err := actorsys.Ask(t.Context(), ref, Deposit{1}); !errors.Is(err, actorsys.ErrNotPersisted) || !strings.Contains(err.Error(), "broken") {
		t.Errorf("%v", err)
	}
	if must(t, ref, Balance) != 0 || len(events(t, b, "")) != 0 {
		t.Error("something was stored, or evolved")
	}
}

// live runs an account for so many deposits of 1 and stops the system.
func live(t *testing.T, b *backend.Backend, deposits int, opts *actorsys.Options[Account]) (balance int64) {
	t.Helper()
	sys := start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone})
	accounts := register(t, sys, opts)
	for range deposits {
		must(t, accounts.Ref("ada"), Deposit{1})
	}
	balance = must(t, accounts.Ref("ada"), Balance)
	if err := sys.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	return balance
}

func snapshots(t *testing.T, b *backend.Backend, stream string) (versions []backend.Version) {
	t.Helper()
	for r, err := range b.Read(t.Context(), backend.Query{Stream: stream, Kinds: backend.KindSet(backend.Snapshot)}) {
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, r.Version)
	}
	return versions
}

func TestSnapshotsAreSavedAsThePolicySaysAndUsed(t *testing.T) {
	b := open(t)
	every4 := &actorsys.Options[Account]{SnapshotEvery: 4, SnapshotSchema: 3}
	if got := live(t, b, 10, every4); got != 10 {
		t.Errorf("balance %d", got)
	}
	if got := snapshots(t, b, "account/ada"); len(got) == 0 || len(got) > 2 || got[len(got)-1] != 8 {
		t.Errorf("snapshots at %v, want 8 after 4 or nothing", got)
	}
	// A snapshot that lies shows that it is what is read, and the events after it.
	if _, err := b.SaveSnapshot(t.Context(), backend.Record{Stream: "account/ada", Version: 9, Epoch: 1, Type: "state", Schema: 3, Payload: []byte(`{"Cents":1000}`)}); err != nil {
		t.Fatal(err)
	}
	if got := live(t, b, 2, every4); got != 1003 {
		t.Errorf("balance %d, want 1003", got)
	}
	if got := live(t, b, 0, &actorsys.Options[Account]{SnapshotSchema: 4}); got != 12 {
		t.Errorf("balance %d with another schema, want 12", got)
	}
}

func TestASnapshotThatCannotBeReadIsPassedOver(t *testing.T) {
	for name, c := range map[string]struct {
		backend.Record
		level string
	}{
		"other schema": {backend.Record{Type: "state", Schema: 1, Payload: []byte(`{"Cents":1000}`)}, "DEBUG"}, // as planned
		"other type":   {backend.Record{Type: "other", Payload: []byte(`{"Cents":1000}`)}, "WARN"},
		"bad bytes":    {backend.Record{Type: "state", Payload: []byte(`{"Cents":`)}, "WARN"},
	} {
		b := open(t)
		live(t, b, 5, nil)
		r := c.Record
		r.Stream, r.Version, r.Epoch = "account/ada", 5, 1
		if _, err := b.SaveSnapshot(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		log, seen := watch()
		ref := register(t, start(t, actorsys.Config{Backend: b, Logger: log}), nil).Ref("ada")
		if got := must(t, ref, Deposit{1}); got != 6 {
			t.Errorf("%s: balance %d, want 6", name, got)
		}
		if debug, warn := seen.count("DEBUG a snapshot was passed over"), seen.count("WARN a snapshot was passed over"); debug+warn != 1 || (warn == 1) != (c.level == "WARN") {
			t.Errorf("%s: logged %d times as DEBUG, %d as WARN", name, debug, warn)
		}
	}
}

func TestATurnMayAskForASnapshot(t *testing.T) {
	b := open(t)
	sys := start(t, actorsys.Config{Backend: b})
	ref := register(t, sys, nil).Ref("ada")
	picture := func(cents int64) Do {
		return func(turn *actorsys.Turn, _ Account) ([]actorsys.Event[Account], error) {
			turn.Snapshot()
			if cents == 0 {
				return nil, nil
			}
			return []actorsys.Event[Account]{Deposited{cents}}, nil
		}
	}
	must(t, ref, picture(0)) // nothing to cover yet
	must(t, ref, picture(1))
	must(t, ref, Deposit{1})
	must(t, ref, picture(0))
	sys.Shutdown(t.Context())
	if got := snapshots(t, b, "account/ada"); len(got) == 0 || len(got) > 2 || got[len(got)-1] != 2 {
		t.Errorf("snapshots at %v, want 2 after 1 or nothing", got)
	}
}

func TestASnapshotIsNotSavedBeforeItsEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		b := f.open(t)
		sys := start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsNone})
		ref := register(t, sys, &actorsys.Options[Account]{SnapshotEvery: 1}).Ref("ada")
		f.set(once(func(func() ([]backend.Result, error)) ([]backend.Result, error) { return nil, backend.ErrNoSpace }))
		if _, err := actorsys.Ask(t.Context(), ref, Deposit{1}); !errors.Is(err, backend.ErrNoSpace) {
			t.Fatal(err)
		}
		must(t, ref, Deposit{5})
		synctest.Wait()
		r, err := b.Snapshot(context.Background(), "account/ada", 0)
		if _, lost, _ := sys.Dropped(); err != nil || string(r.Payload) != `{"Cents":5}` || lost != 0 {
			t.Errorf("%s, %v; %d snapshots lost", r.Payload, err, lost)
		}
	})
}

func TestASnapshotThatCannotBeEncodedCostsNothingElse(t *testing.T) {
	for name, fail := range map[string]func(){"panics": func() { panic("no state") }, "ends its goroutine": runtime.Goexit} {
		synctest.Test(t, func(t *testing.T) {
			codec := actorsys.Codec{Marshal: func(v any) ([]byte, error) {
				if _, ok := v.(Account); ok {
					fail()
				}
				return json.Marshal(v)
			}}
			sys := start(t, actorsys.Config{Backend: open(t)})
			ref := register(t, sys, &actorsys.Options[Account]{Codec: codec, SnapshotEvery: 2}).Ref("ada")
			for i := range int64(6) {
				if got := must(t, ref, Deposit{1}); got != i+1 {
					t.Errorf("%s: balance %d", name, got)
				}
				synctest.Wait()
			}
			if _, lost, _ := sys.Dropped(); lost != 3 {
				t.Errorf("%s: %d snapshots counted as lost, want 3", name, lost)
			}
		})
	}
}

// forgetful is a store that yields nothing, though its head says that there is.
type forgetful struct{ closable }

func (forgetful) Read(context.Context, backend.Query) iter.Seq2[backend.Record, error] {
	return func(func(backend.Record, error) bool) {}
}

func TestAStreamThatEndsBeforeItsHeadIsNotTakenForAYoungerState(t *testing.T) {
	b, err := backend.New(t.Context(), func(context.Context) (backend.Driver, error) {
		return backend.Sequenced(forgetful{closable{memory.New()}}), nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	stored(t, b, "account/ada", old("deposited", 1, `{"Cents":5}`))
	if _, err := actorsys.Ask(t.Context(), startAccounts(t, b).Ref("ada"), Balance); !errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("%v", err)
	}
}

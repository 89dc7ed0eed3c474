package actorsys_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
)

// damaged is a memory store whose scan finds something.
type damaged struct{ closable }

func (damaged) Scan(context.Context, backend.ScanPlan) iter.Seq2[backend.Anomaly, error] {
	return func(yield func(backend.Anomaly, error) bool) {
		yield(backend.Anomaly{Code: backend.MissingRecord, Severity: backend.Damage, Offset: -1}, nil)
	}
}

func TestADamagedStoreIsRefusedBeforeAnyActorMayRun(t *testing.T) {
	b, err := backend.New(t.Context(), func(context.Context) (backend.Driver, error) {
		return backend.Sequenced(damaged{closable{memory.New()}}), nil
	}, &backend.Options{Startup: backend.Startup{Mode: backend.IgnoreAnomalies}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var refused *backend.StartupError
	if sys, err := actorsys.Start(t.Context(), actorsys.Config{Backend: b}); sys != nil || !errors.As(err, &refused) || !errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("%v", err)
	}
	sys := start(t, actorsys.Config{Backend: b, Startup: backend.Startup{Mode: backend.ScanOnly}})
	if r := sys.StartupReport(); r.Mode != backend.ScanOnly || r.Scan.Damages != 1 {
		t.Errorf("%+v", r)
	}
}

func TestWrongConfigurationsAreRefused(t *testing.T) {
	b := open(t)
	for name, cfg := range map[string]actorsys.Config{
		"no backend":          {},
		"bad name":            {Backend: b, Name: "\x00"},
		"negative recoveries": {Backend: b, MaxRecoveries: -1},
		"unknown fact level":  {Backend: b, Facts: 9},
		"unknown startup":     {Backend: b, Startup: backend.Startup{Mode: 99}},
	} {
		if _, err := actorsys.Start(t.Context(), cfg); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if sys := start(t, actorsys.Config{Backend: b}); sys.Name() != "main" {
		t.Errorf("name %q", sys.Name())
	}
}

// facts returns what a system recorded, one line each.
func facts(t *testing.T, b *backend.Backend, system string) (out []string) {
	t.Helper()
	for _, r := range events(t, b, backend.SystemStream(system, backend.Lifecycle)) {
		out = append(out, r.Type+" "+string(r.Payload))
	}
	return out
}

func TestLifecycleFactsAreRecordedAsTheLevelSays(t *testing.T) {
	want := map[actorsys.FactLevel][]string{
		actorsys.FactsNone:     nil,
		actorsys.FactsFailures: {`system-started {}`, `actor-failed {"actor":"account/ada","reason":"actor panicked: boom"}`, `system-stopped {}`},
		actorsys.FactsAll: {`system-started {}`, `actor-activated {"actor":"account/ada"}`, `actor-failed {"actor":"account/ada","reason":"actor panicked: boom"}`,
			`actor-activated {"actor":"account/ada","version":1,"events":1}`, `actor-passivated {"actor":"account/ada","version":1}`, `system-stopped {}`},
	}
	for level, want := range want {
		synctest.Test(t, func(t *testing.T) {
			b := open(t)
			sys := start(t, actorsys.Config{Name: "bank", Backend: b, Facts: level})
			ref := register(t, sys, nil).Ref("ada")
			must(t, ref, Deposit{1})
			actorsys.Ask(t.Context(), ref, Bomb{"Decide"})
			synctest.Wait()
			must(t, ref, Balance)
			time.Sleep(2 * actorsys.DefaultIdle)
			sys.Shutdown(t.Context())
			if got := facts(t, b, "bank"); strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("level %d:\n%s", level, strings.Join(got, "\n"))
			}
		})
	}
}

func TestFactsNeverHoldUpOrFailAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factless{blocked: make(chan struct{}), Driver: backend.Sequenced(closable{memory.New()})}
		b, err := backend.New(t.Context(), func(context.Context) (backend.Driver, error) { return f, nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		sys := start(t, actorsys.Config{Backend: b, Facts: actorsys.FactsAll})
		accounts := register(t, sys, nil)
		synctest.Wait() // the first fact is on its way
		for i := range 30_000 {
			must(t, accounts.Ref(fmt.Sprint(i)), Balance)
		}
		if dropped, _, _ := sys.Dropped(); dropped < 1000 || dropped > 29_000 {
			t.Errorf("%d facts dropped of 30,000 in a lane of 1 MiB", dropped)
		}
		close(f.blocked)
		if err := sys.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if dropped, _, _ := sys.Dropped(); dropped != 30_002 {
			t.Errorf("%d facts counted as lost, want all 30,002", dropped)
		}
	})
}

// factless holds appends of facts back, and then fails them.
type factless struct {
	backend.Driver
	blocked chan struct{}
}

func (f *factless) Append(ctx context.Context, group []backend.Batch) ([]backend.Result, error) {
	if backend.KindOf(group[0].Stream) == backend.Lifecycle {
		<-f.blocked
		return nil, backend.ErrNoSpace
	}
	return f.Driver.Append(ctx, group)
}

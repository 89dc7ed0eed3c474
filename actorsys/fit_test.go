package actorsys_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
)

// total and added keep what they know from encoding/json.
type total struct{ n int }

type added struct{ n int }

func (e added) Evolve(t total) total { return total{t.n + e.n} }

// Added does not.
type Added struct{ N int }

func (e Added) Evolve(t total) total { return total{t.n + e.N} }

func TestAnEventThatJSONWouldStoreWithLossIsRefused(t *testing.T) {
	sys := start(t, actorsys.Config{Backend: open(t)})
	lossy := `event "added": actorsys_test.added has the unexported field n, which encoding/json does not store: export it, give the type MarshalJSON and UnmarshalJSON, or set Options.Codec`
	upcast := actorsys.Upcast("added", 1, func(old added) []actorsys.Event[total] { return []actorsys.Event[total]{old} })
	marshal := func(any) ([]byte, error) { return nil, nil }
	unmarshal := func([]byte, any) error { return nil }
	for name, c := range map[string]struct {
		event actorsys.EventType[total]
		codec actorsys.Codec
		want  string
	}{
		"On":                               {actorsys.On[added]("added", 1), actorsys.Codec{}, lossy},
		"On with half a codec":             {actorsys.On[added]("added", 1), actorsys.Codec{Marshal: marshal}, lossy},
		"On with the other half":           {actorsys.On[added]("added", 1), actorsys.Codec{Unmarshal: unmarshal}, lossy},
		"On with a codec":                  {actorsys.On[added]("added", 1), actorsys.Codec{Marshal: marshal, Unmarshal: unmarshal}, ""},
		"Upcast":                           {upcast, actorsys.Codec{}, lossy},
		"Upcast with a codec that reads":   {upcast, actorsys.Codec{Unmarshal: unmarshal}, ""},
		"On without unexported fields":     {actorsys.On[Added]("added", 1), actorsys.Codec{}, ""},
		"On a type that only writes JSON":  {actorsys.On[writes]("added", 1), actorsys.Codec{}, "the unexported field n"},
		"On a value with pointer's method": {actorsys.On[proud]("added", 1), actorsys.Codec{}, "the pointer's"},
		"On a pointer":                     {actorsys.On[*proud]("added", 1), actorsys.Codec{}, ""},
		"Upcast of a type that reads":      {actorsys.Upcast("added", 1, func(proud) []actorsys.Event[total] { return nil }), actorsys.Codec{}, ""},
	} {
		_, err := actorsys.Register(sys, name, actorsys.Events[total]{c.event}, &actorsys.Options[total]{Codec: c.codec})
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// writes has only the half of its JSON.
type writes struct{ n int }

func (writes) Evolve(t total) total           { return t }
func (w writes) MarshalJSON() ([]byte, error) { return json.Marshal(w.n) }

// proud has its JSON, if encoding/json has its address.
type proud struct{ n int }

func (proud) Evolve(t total) total              { return t }
func (p *proud) MarshalJSON() ([]byte, error)   { return json.Marshal(p.n) }
func (p *proud) UnmarshalJSON(raw []byte) error { return json.Unmarshal(raw, &p.n) }

// text has its JSON through its text.
type text struct{ s string }

func (x text) MarshalText() ([]byte, error)     { return []byte(x.s), nil }
func (x *text) UnmarshalText(data []byte) error { x.s = string(data); return nil }

type base struct{ ID string }

type Base struct{ ID string }

type Other struct{ ID string }

// tree holds itself, in every way.
type tree struct {
	Left, Right *tree
	Below       []tree
	ByName      map[string]tree
}

type Twig struct {
	*Twig
	Leaves []Twig
	n      int
}

// kept registers a kind with snapshots of S, and returns why that is refused.
func kept[S any](sys *actorsys.System, name string) string {
	_, err := actorsys.Register(sys, name, nil, &actorsys.Options[S]{SnapshotEvery: 1})
	if err != nil && !errors.Is(err, backend.ErrInvalid) {
		return "not ErrInvalid: " + err.Error()
	}
	return fmt.Sprint(err)
}

func TestWhatJSONStoresWithLossIsFoundWhereverItStands(t *testing.T) {
	sys := start(t, actorsys.Config{Backend: open(t)})
	for i, c := range []struct {
		refused func(*actorsys.System, string) string
		want    string
	}{
		{kept[total], "Options.SnapshotEvery: actorsys_test.total has the unexported field n"},
		{kept[*total], "actorsys_test.total has the unexported field n"},
		{kept[[]total], "the unexported field n"},
		{kept[[2]total], "the unexported field n"},
		{kept[map[string]total], "the unexported field n"},
		{kept[map[total]int], "map[actorsys_test.total]int is keyed by actorsys_test.total, which encoding/json can't write as a key"},
		{kept[map[float64]int], "keyed by float64"},
		{kept[struct{ In []map[int]*total }], "field In: actorsys_test.total has the unexported field n"},
		{kept[struct{ total }], "the unexported field n"},
		{kept[struct{ *Base }], "<nil>"},
		{kept[struct{ *base }], "embeds a pointer to the unexported actorsys_test.base"},
		{kept[struct{ base }], "<nil>"},
		{kept[struct {
			Base
			ID int
		}], `two fields that are "ID" in JSON`},
		{kept[struct {
			Base
			Other
		}], `two fields that are "ID" in JSON`},
		{kept[struct {
			Base
			Of base `json:"ID2"`
		}], "<nil>"},
		{kept[struct{ error }], "the unexported field error"},
		{kept[struct{ C chan int }], "field C: chan int, which encoding/json can't store"},
		{kept[struct{ F func() }], "field F: func(), which encoding/json can't store"},
		{kept[struct{ Z complex128 }], "field Z: complex128"},
		{kept[func()], "func(), which encoding/json can't store"},
		{kept[struct {
			F func()     `json:"-"`
			M sync.Mutex `json:"-"`
			n int        `json:"-"`
			_ int
			A any
			E error
		}], "<nil>"},
		{kept[tree], "<nil>"},
		{kept[Twig], "the unexported field n"},
		{kept[time.Time], "<nil>"},
		{kept[struct {
			T time.Time
			P *time.Time
			A netip.Addr
			R json.RawMessage
			N *big.Int
			M map[netip.Addr][]byte
			K map[text]int8
			X text
		}], "<nil>"},
		{kept[struct{ N big.Int }], "field N: big.Int has the unexported field neg, which encoding/json does not store: its methods are the pointer's"},
		{kept[struct{ N []big.Int }], "<nil>"},
		{kept[struct{ N map[int]big.Int }], "the pointer's"},
		{kept[struct{ M sync.Mutex }], "field M: sync.Mutex"},
		{kept[int], "<nil>"},
	} {
		if got := c.refused(sys, fmt.Sprint("kind", i)); !strings.Contains(got, c.want) {
			t.Errorf("%d: %s, want %s", i, got, c.want)
		}
	}
}

// warnings counts what is logged, by message.
type warnings struct {
	slog.Handler
	mu   sync.Mutex
	seen map[string]int // by level and message
}

func watch() (*slog.Logger, *warnings) {
	w := &warnings{Handler: slog.DiscardHandler, seen: map[string]int{}}
	return slog.New(w), w
}

func (*warnings) Enabled(context.Context, slog.Level) bool { return true }

func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[r.Level.String()+" "+r.Message]++
	return nil
}

func (w *warnings) count(what string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[what]
}

// add adds one to a total and asks for a snapshot; it replies with the total.
type add struct{}

func (add) Decide(t *actorsys.Turn, _ total) ([]actorsys.Event[total], error) {
	t.Snapshot()
	return []actorsys.Event[total]{Added{1}}, nil
}
func (add) Reply(t total) int { return t.n }

func TestAStateThatJSONWouldStoreWithLossIsNeitherSavedNorRead(t *testing.T) {
	b := open(t)
	for _, want := range []int{3, 6} {
		log, seen := watch()
		sys := start(t, actorsys.Config{Backend: b, Logger: log})
		totals, err := actorsys.Register(sys, "total", actorsys.Events[total]{actorsys.On[Added]("added", 1)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got int
		for range 3 {
			if got, err = actorsys.Ask(t.Context(), totals.Ref("t"), add{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := sys.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, dropped, _ := sys.Dropped()
		if logged := seen.count("ERROR snapshots are not saved: the state would not come back whole"); got != want || dropped != 3 || logged != 1 {
			t.Errorf("total %d, want %d; %d snapshots dropped, %d times logged", got, want, dropped, logged)
		}
		if want == 3 { // as an earlier release did
			if n := snapshots(t, b, "total/t"); len(n) != 0 {
				t.Errorf("snapshots at %v", n)
			}
			if _, err := b.SaveSnapshot(t.Context(), backend.Record{Stream: "total/t", Version: 3, Epoch: 1, Type: "state", Payload: []byte(`{}`)}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

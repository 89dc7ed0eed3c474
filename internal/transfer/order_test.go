package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
	"github.com/papyra-go/papyra/internal/lines"
)

// TestAStreamThatIsGoneHasTheLastPosition: there are more free positions than streams that
// are gone, and the newest is among them.
func TestAStreamThatIsGoneHasTheLastPosition(t *testing.T) {
	a := opened(t)(memory.New().Open(t.Context(), nil))
	defer a.Close()
	for _, stream := range []string{"x", "x", "y", "kept", "z"} {
		must(t, a, backend.Batch{Stream: stream, Expected: backend.Any, Records: []backend.Record{{}, {}}})
	}
	_, err := a.Compact(t.Context(), backend.Cut{Floors: []backend.StreamFloor{{Stream: "x", Delete: true}, {Stream: "y", Delete: true}, {Stream: "z", Delete: true}}})
	if err != nil {
		t.Fatal(err)
	}
	var at []string
	for item, err := range Items(t.Context(), a) {
		if err != nil {
			t.Fatal(err)
		}
		if g := item.Gone; g != nil {
			at = append(at, fmt.Sprint(g.Stream, g.Position))
		}
	}
	if got := strings.Join(at, " "); got != "x1 y2 z10" {
		t.Errorf("gone: %s, want x1 y2 z10", got)
	}
	b := opened(t)(memory.New().Open(t.Context(), nil))
	defer b.Close()
	if err := restore(t.Context(), b, exported(t, a), nothing); err != nil {
		t.Fatal(err)
	}
	sameStanding(t, a, b)
	if h, _ := b.Head(t.Context(), backend.SystemStream(MarkerSystem, backend.Audit)); h.Version != 0 {
		t.Error("a marker stands where none is needed")
	}
}

// TestAStreamThatIsNotGoneDiffers: nothing stands at the position, and the stream is not
// where it should be.
func TestAStreamThatIsNotGoneDiffers(t *testing.T) {
	const head, end = "{\"export\":1}\n", "{\"end\":{\"records\":0,\"gone\":1,\"last_position\":2}}\n"
	b := opened(t)(memory.New().Open(t.Context(), nil))
	defer b.Close()
	for i, stream := range []string{"y", "x"} {
		_, err := b.Append(t.Context(), backend.Batch{Stream: stream, Restore: true, Records: []backend.Record{
			{Position: backend.Position(3 + i), Version: 1, Kind: backend.Event, Time: placeholder(&lines.Gone{}).Time},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, stream := range []string{"x", "never"} {
		err := restore(t.Context(), b, []byte(head+`{"position":2,"stream":"`+stream+`","gone":{"version":1,"epoch":0}}`+"\n"+end), nothing)
		if d := (*DiffersError)(nil); !errors.As(err, &d) || d.Position != 2 {
			t.Errorf("%s: %v", stream, err)
		}
	}
}

// failing is a store whose first appends fail, of which nothing is then stored.
type failing struct {
	*endless
	fails int
}

func (f *failing) Append(ctx context.Context, records []backend.Record) error {
	if f.fails > 0 {
		f.fails--
		return fmt.Errorf("%w: the disk is full", backend.ErrNoSpace)
	}
	return f.endless.Append(ctx, records)
}

// TestNothingIsWrittenBehindWhatFailed: what waits is more than a group, and the disk is
// full for a moment only.
func TestNothingIsWrittenBehindWhatFailed(t *testing.T) {
	sink := &failing{&endless{heads: map[string]backend.Head{}}, 1}
	b := opened(t)(backend.New(t.Context(), func(context.Context) (backend.Driver, error) { return backend.Sequenced(sink), nil }, nil))
	defer b.Close()
	var export bytes.Buffer
	w, err := NewWriter(&export, lines.Head{})
	if err != nil {
		t.Fatal(err)
	}
	large := bytes.Repeat([]byte("x"), 800<<10)
	for i, r := range []backend.Record{{Stream: "a"}, {Stream: "b", Payload: large}, {Stream: "b", Version: 2, Payload: large, Batch: backend.BatchRef{Place: 1}}, {Stream: "c"}} {
		r.Position, r.Version, r.Kind, r.Time = backend.Position(i+1), max(r.Version, 1), backend.Event, placeholder(&lines.Gone{}).Time
		if err := w.Put(lines.Line{Record: &r}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(4); err != nil {
		t.Fatal(err)
	}
	if err := restore(t.Context(), b, export.Bytes(), nothing); !errors.Is(err, backend.ErrNoSpace) || sink.last != 0 {
		t.Errorf("position %d was written: %v", sink.last, err)
	}
	if err := restore(t.Context(), b, export.Bytes(), nothing); err != nil || sink.last != 4 {
		t.Errorf("again: up to position %d: %v", sink.last, err)
	}
}

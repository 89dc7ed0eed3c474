package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/papyra-go/papyra/backend"
)

// Divergence is where a backend did something else than the reference.
type Divergence struct {
	At   int // which operation
	Op   Op
	Got  string // what came of it
	Want string
	Ops  []Op // all operations, up to this one
}

func (d *Divergence) String() string {
	return fmt.Sprintf("operation %d, %v:\n    got   %s\n    want  %s", d.At, d.Op, printable(orNone(d.Got)), orNone(d.Want))
}

// Replay plays the operations on a fresh store, one after the other, and returns the
// first at which it differs from the reference; nil if it does not. An error means that
// there is no such store.
func Replay(ctx context.Context, h Harness, ops []Op) (*Divergence, error) {
	var d *Divergence
	err := play(ctx, h, func(p *player) {
		want := newReference()
		for at, o := range ops {
			if !p.features.allow(o.Do) {
				continue
			}
			if got, should := p.do(ctx, at, o), want.do(at, o); got != should {
				d = &Divergence{at, o, got, should, ops[:at+1]}
				return
			}
		}
	})
	return d, err
}

func (f Features) allow(a Action) bool {
	return (f.Reopens || a != DoReopen) && (f.Compacts || a != DoCompact && a != DoRetain)
}

// FeaturesOf opens a store to see what histories may ask of the backend.
func FeaturesOf(ctx context.Context, h Harness) (f Features, err error) {
	err = play(ctx, h, func(p *player) { f = p.features })
	return f, err
}

// player plays operations on one store.
type player struct {
	store    Store
	subject  Subject
	features Features
	acked    backend.Position // the highest position that an append was given
}

// play makes a fresh store, opens it, and removes it when with returns.
func play(ctx context.Context, h Harness, with func(*player)) error {
	dir, err := os.MkdirTemp("", "papyra-explore-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	store, err := h.NewStore(ctx, &Env{Dir: dir, Rand: rand.New(rand.NewPCG(1, 1)), Log: io.Discard})
	if err != nil {
		return fmt.Errorf("conformance: the harness makes no store: %w", err)
	}
	defer func() { _ = store.Destroy(context.WithoutCancel(ctx)) }()
	p := &player{store: store}
	if p.subject, err = store.Open(ctx, backend.Options{}); err != nil {
		return fmt.Errorf("conformance: the store does not open: %w", err)
	}
	defer func() { _ = p.subject.Close() }()
	p.features = Features{Reopens: !h.Info().Volatile, Compacts: p.subject.Capabilities().Compact}
	with(p)
	return nil
}

// do does the operation and says what came of it, in the words of the reference. A panic
// is an answer too.
func (p *player) do(ctx context.Context, at int, o Op) (text string) {
	defer func() {
		if r := recover(); r != nil {
			text = fmt.Sprintf("panic: %v", r)
		}
	}()
	s := p.subject
	switch o.Do {
	case DoAppend:
		return p.appended(s.Append(ctx, o.batch(at)))
	case DoBatches:
		two := o.second()
		results, err := s.AppendAll(ctx, []backend.Batch{o.batch(at), two.batch(at)})
		if err != nil || len(results) != 2 {
			return fmt.Sprintf("%d results, %s", len(results), errText(err))
		}
		return p.appended(results[0], results[0].Err) + "; " + p.appended(results[1], results[1].Err)
	case DoRestore:
		return p.restore(ctx, at, o)
	case DoSnapshot:
		return p.snapshot(ctx, at, o)
	case DoRead:
		return p.read(ctx, backend.Query{Stream: o.Stream, From: o.From, To: o.To, Limit: o.Limit, Reverse: o.Reverse})
	case DoPage:
		return p.pages(ctx, max(o.Limit, 1))
	case DoLook:
		return p.look(ctx, o)
	case DoList:
		return p.list(ctx)
	case DoReopen:
		return p.reopen(ctx)
	case DoScan:
		report, err := s.Scan(ctx, nil)
		if err != nil || !report.Clean() {
			return fmt.Sprintf("%+v, %s", report, errText(err))
		}
		return "clean"
	case DoCompact:
		if _, err := s.Compact(ctx, backend.Cut{Floors: []backend.StreamFloor{{Stream: o.Stream, Floor: backend.Version(o.From)}}}); err != nil {
			return answer(err)
		}
		return "compacted to it"
	case DoRetain:
		return p.retain(ctx, int64(max(o.Limit, 1)))
	}
	return "no such action"
}

// batch is the operation's batch.
func (o *Op) batch(at int) backend.Batch {
	b := backend.Batch{Stream: o.Stream, Expected: o.Expected, Epoch: o.Epoch}
	if o.ID > 0 {
		b.ID = backend.BatchID{o.ID}
	}
	for i := range o.records() {
		b.Records = append(b.Records, event("%s", o.label(at, i)))
	}
	return b
}

// appended is a result in the words of the reference. Positions may have gaps, but rise.
func (p *player) appended(res backend.Result, err error) string {
	switch {
	case err != nil:
		return answer(err)
	case res.Repeated:
		return fmt.Sprintf("repeated, version %d", res.Version)
	case res.Position <= p.acked:
		return fmt.Sprintf("version %d at position %d, after %d", res.Version, res.Position, p.acked)
	}
	p.acked = res.Position
	return fmt.Sprintf("version %d", res.Version)
}

// answer is an error in the words of the reference.
func answer(err error) string {
	var conflict *backend.ConflictError
	for _, known := range []struct {
		is   error
		text string
	}{{backend.ErrInvalid, "invalid"}, {backend.ErrFenced, "fenced"}, {backend.ErrCompacted, "compacted"}} {
		if errors.Is(err, known.is) {
			return known.text
		}
	}
	if errors.As(err, &conflict) {
		return fmt.Sprintf("conflict at %d", conflict.Actual)
	}
	return "error: " + err.Error()
}

func (p *player) restore(ctx context.Context, at int, o Op) string {
	last, err := p.subject.Last(ctx)
	head, headErr := p.subject.Head(ctx, o.Stream)
	if err := errors.Join(err, headErr); err != nil {
		return answer(err)
	}
	r := event("%s", o.label(at, 0))
	r.Kind, r.Stream, r.Epoch, r.Position, r.Version = backend.Event, o.Stream, o.Epoch, last+10, head.Version+1
	return p.appended(p.subject.Append(ctx, backend.Batch{Stream: o.Stream, Restore: true, Records: []backend.Record{r}}))
}

func (p *player) snapshot(ctx context.Context, at int, o Op) string {
	r := event("%s", o.label(at, 0))
	r.Stream, r.Version, r.Epoch = o.Stream, backend.Version(o.From), o.Epoch
	if _, err := p.subject.SaveSnapshot(ctx, r); err != nil {
		return answer(err)
	}
	return "saved"
}

// recordText is a record in the words of the reference; what is wrong with it besides
// comes after it.
func recordText(r *backend.Record) string {
	s := fmt.Sprintf("%s/%d %s", r.Stream, r.Version, r.Type)
	if want := "<" + r.Type + ">"; string(r.Payload) != want {
		s += fmt.Sprintf(" with payload %.40q", r.Payload)
	}
	if !r.Time.Equal(someTime) {
		s += fmt.Sprintf(" at %v", r.Time)
	}
	return s
}

func (p *player) read(ctx context.Context, q backend.Query) string {
	var parts []string
	last := backend.Position(0)
	for r, err := range p.subject.Read(ctx, q) {
		if err != nil {
			parts = append(parts, answer(err))
			break
		}
		text := recordText(&r)
		if last > 0 && (r.Position > last) == q.Reverse {
			text += fmt.Sprintf(" at position %d after %d", r.Position, last)
		}
		last = r.Position
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

// pages reads the whole store page by page.
func (p *player) pages(ctx context.Context, limit int) string {
	var parts []string
	for q := (backend.Query{Limit: limit}); ; {
		n := 0
		for r, err := range p.subject.Read(ctx, q) {
			if err != nil {
				return strings.Join(append(parts, answer(err)), ", ")
			}
			if uint64(r.Position) < q.From {
				return strings.Join(append(parts, fmt.Sprintf("position %d below %d", r.Position, q.From)), ", ")
			}
			parts = append(parts, recordText(&r))
			q.From = uint64(r.Position) + 1
			n++
		}
		if n == 0 || n < limit {
			return strings.Join(parts, ", ")
		}
	}
}

func (p *player) look(ctx context.Context, o Op) string {
	head, err := p.subject.Head(ctx, o.Stream)
	if err != nil {
		return answer(err)
	}
	text := headText(uint64(head.Version), head.Epoch, uint64(head.Floor))
	r, err := p.subject.Snapshot(ctx, o.Stream, backend.Version(o.From))
	switch {
	case errors.Is(err, backend.ErrNotFound):
		return text + ", no snapshot"
	case err != nil:
		return text + ", " + answer(err)
	}
	return text + ", snapshot " + recordText(&r)
}

func (p *player) list(ctx context.Context) string {
	var parts []string
	for info, err := range p.subject.Streams(ctx, backend.StreamQuery{}) {
		if err != nil {
			parts = append(parts, answer(err))
			break
		}
		parts = append(parts, info.Name+" "+headText(uint64(info.Head.Version), info.Head.Epoch, uint64(info.Head.Floor)))
	}
	return strings.Join(parts, ", ")
}

func (p *player) reopen(ctx context.Context) string {
	err := p.subject.Close()
	s, openErr := p.store.Open(ctx, backend.Options{})
	if openErr == nil {
		p.subject = s
	}
	if err := errors.Join(err, openErr); err != nil {
		return answer(err)
	}
	return "opened"
}

func (p *player) retain(ctx context.Context, n int64) string {
	cut, err := p.subject.PlanCut(ctx, backend.Retention{backend.Event: {MaxRecords: n}})
	if err != nil {
		return answer(err)
	}
	var parts []string
	for _, f := range cut.Floors {
		parts = append(parts, fmt.Sprintf("%s from %d", f.Stream, f.Floor))
	}
	if _, err := p.subject.Compact(ctx, cut); err != nil {
		parts = append(parts, answer(err))
	}
	return "plan " + strings.Join(parts, ", ")
}

package conformance

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// rotten is a store of which one byte at a time is wrong.
type rotten struct {
	c     *Case
	store Corrupter
	bytes int64
	ends  []int64 // of its regions, if the harness has a chart
	want  image
	snaps map[string]backend.Record

	judging ID // the rule, of those that lies are judged by

	mends   bool // the engine claims a recovery
	refuses bool // it has refused to open what is damaged, and said where
}

// rotting fills the store, closes it, and makes it ready to rot.
func (c *Case) rotting() *rotten {
	s := c.open()
	c.furnish(s)
	b := unchecked("b", 2)
	for i := range b.Records {
		b.Records[i].Payload = c.random(700)
	}
	c.put(s, b)
	c.put(s, unchecked("c", 3))
	for i := range 8 { // heads weigh as much as records then
		c.put(s, unchecked(fmt.Sprint("d", i), 2))
	}
	r := &rotten{c: c, store: seam[Corrupter](c), want: c.image(s), snaps: map[string]backend.Record{}}
	for _, info := range r.want.streams {
		if snap, err := s.Snapshot(c.ctx, info.Name, 0); err == nil {
			r.snaps[info.Name] = snap
		}
	}
	r.mends = s.Capabilities().Repair || s.Capabilities().Quarantine
	c.close(s)
	r.measure()
	return r
}

// measure asks how many bytes there are, while the store is closed.
func (r *rotten) measure() {
	n, err := r.store.Bytes(r.c.ctx)
	if err != nil || n == 0 {
		r.c.unavailable("the harness has no bytes that could rot: %d, %v", n, err)
	}
	r.bytes = n
	if chart, ok := r.store.(Charter); ok {
		if r.ends, err = chart.Chart(r.c.ctx); err != nil {
			r.c.unavailable("the harness has no chart of its bytes: %v", err)
		}
	}
	r.proves()
}

// proves looks whether Flip does something, where that can be seen.
func (r *rotten) proves() {
	if !has(r.c.store, SeamDigester) {
		return // then no wrong byte matters to any read
	}
	before := r.c.digest()
	r.flip(r.bytes/2, 1)
	after := r.c.digest()
	r.flip(r.bytes/2, 1)
	switch {
	case after == before:
		r.c.unavailable("the harness's Flip changes nothing that its Digest sees")
	case r.c.digest() != before:
		r.c.unavailable("the harness's second Flip does not take the first back")
	}
}

// In a sweep a store rots in so many places; where reads are judged, in up to mostRots while
// there is time.
const (
	rots     = 250
	mostRots = 1000
)

// draw returns the place of the n-th wrong byte of a sweep that begins at a random start in
// the unit interval. Every other one is spread over the bytes, the rest over the regions,
// of which each gets as many however small it is.
func (r *rotten) draw(n int, start float64) int64 {
	const golden = 0.6180339887498949 // its multiples lie evenly, however many there are
	if at := start + float64(n)*golden; n%2 == 0 || len(r.ends) == 0 {
		return min(int64((at-math.Floor(at))*float64(r.bytes)), r.bytes-1)
	}
	i, from := (n/2+int(start*float64(len(r.ends))))%len(r.ends), int64(0)
	if i > 0 {
		from = r.ends[i-1]
	}
	return from + r.c.env.Rand.Int64N(r.ends[i]-from)
}

// each makes one byte after the other wrong, up to so many, and calls look with the store as
// it is then; s is nil and err set if it does not open.
func (r *rotten) each(most int, look func(at int64, s Subject, err error)) {
	start, stop := r.c.env.Rand.Float64(), time.Now().Add(patience(r.c))
	for n := 0; n < rots || n < most && time.Now().Before(stop); n++ {
		at := r.draw(n, start)
		mask := byte(1) << r.c.env.Rand.IntN(8)
		r.flip(at, mask)
		s, err := r.open()
		look(at, s, err)
		if err == nil {
			r.c.noError("Close", s.Close())
		}
		r.flip(at, mask)
	}
}

// open opens the store whatever is wrong with it.
func (r *rotten) open() (Subject, error) {
	s, err := r.c.store.Open(r.c.ctx, backend.Options{ReadOnly: true, Startup: backend.Startup{Mode: backend.IgnoreAnomalies}})
	r.refuses = r.refuses || placed(err)
	return s, err
}

func (r *rotten) flip(at int64, mask byte) {
	if err := r.store.Flip(r.c.ctx, at, mask); err != nil {
		r.c.unavailable("the harness flips no byte: %v", err)
	}
}

// truth fails the rule unless err is nil or says that something is wrong.
func (r *rotten) truth(what string, err error) {
	if err != nil && !errors.Is(err, backend.ErrCorrupt) && !errors.Is(err, backend.ErrFormat) {
		r.lie(scanLies, "no error, or one that wraps ErrCorrupt or ErrFormat", "%s: %v", what, err)
	}
}

// What a wrong byte may not do: make reads lie, and hide what is stored.
const (
	scanLies  ID = "SCAN-08"
	scanHides ID = "SCAN-11"
)

// lie fails the rule if it is the one that is judged.
func (r *rotten) lie(rule ID, wanted, seen string, args ...any) {
	if r.judging == rule {
		r.c.failf(wanted, seen, args...)
	}
}

// damaged reads all there is and returns whether any read met damage. Less than all is no
// lie where a scan takes the end of the store for a torn tail.
func (r *rotten) damaged(at int64, s Subject) (met bool) {
	c, torn, scanned := r.c, false, false
	isTorn := func() bool {
		if !scanned {
			scanned = true
			report, err := s.Scan(c.ctx, nil)
			torn = err == nil && slices.ContainsFunc(report.Anomalies, func(a backend.Anomaly) bool { return a.Code == backend.TornTail })
		}
		return torn
	}
	what := fmt.Sprintf("byte %d of %d wrong", at, r.bytes)
	read := func(less ID, q backend.Query, want []backend.Record) {
		got, err := collect(c.ctx, s, q)
		r.truth(what+": "+queryText(q), err)
		met = met || err != nil
		if d := amongThem(got, want); d != "" {
			r.lie(scanLies, "what was stored, or ErrCorrupt", "%s: %s: %s", what, queryText(q), d)
		}
		if d := listDifference(got, want[:min(len(got), len(want))]); d != "" && !isTorn() {
			r.lie(less, "what was stored, without a gap, or ErrCorrupt", "%s: %s: %s", what, queryText(q), d)
		}
		if err == nil && len(got) < len(want) && !isTorn() {
			r.lie(less, "all that was stored, or ErrCorrupt", "%s: %s: %d records without an error, want %d", what, queryText(q), len(got), len(want))
		}
	}
	every := backend.Query{Kinds: backend.AllKinds}
	read(scanHides, every, r.want.records)
	every.Reverse = true
	read(scanHides, every, reversed(r.want.records))
	for _, info := range r.want.streams {
		read(scanLies, backend.Query{Stream: info.Name}, r.want.of(info.Name).numbered())
		h, err := s.Head(c.ctx, info.Name)
		r.truth(what+": head", err)
		met = met || err != nil
		if err == nil && h != info.Head && !isTorn() {
			r.lie(scanLies, fmt.Sprintf("head %+v, or ErrCorrupt", info.Head), "%s: head of %q: %+v", what, info.Name, h)
		}
		met = r.snapshot(what, s, info.Name, isTorn) || met
	}
	list, err := collectStreams(c.ctx, s, backend.StreamQuery{})
	r.truth(what+": listing", err)
	met = met || err != nil
	for _, info := range list {
		if !slices.Contains(r.want.streams, info) && !isTorn() {
			r.lie(scanLies, "streams that there are, or ErrCorrupt", "%s: listed %+v", what, info)
		}
	}
	if err == nil && len(list) != len(r.want.streams) && !isTorn() {
		r.lie(scanHides, fmt.Sprint(len(r.want.streams), " streams, or ErrCorrupt"), "%s: %d streams", what, len(list))
	}
	return met
}

// snapshot looks at a stream's newest snapshot.
func (r *rotten) snapshot(what string, s Subject, stream string, isTorn func() bool) (met bool) {
	newest, had := r.snaps[stream]
	snap, err := s.Snapshot(r.c.ctx, stream, 0)
	none := errors.Is(err, backend.ErrNotFound)
	switch {
	case !had && none:
	case none && !isTorn():
		r.lie(scanHides, "the newest snapshot, or ErrCorrupt", "%s: snapshot of %q: %v", what, stream, err)
	case none:
	case err != nil:
		r.truth(what+": snapshot", err)
	default:
		if d := amongThem([]backend.Record{snap}, r.want.records); d != "" {
			r.lie(scanLies, "a snapshot that was saved, or ErrCorrupt", "%s: snapshot of %q: %s", what, stream, d)
		}
		if d := difference(&snap, &newest); d != "" && !isTorn() {
			r.lie(scanHides, "the newest snapshot, or ErrCorrupt", "%s: snapshot of %q: %s", what, stream, d)
		}
	}
	return errors.Is(err, backend.ErrCorrupt)
}

// amongThem says which record of got is none of want, or not in their order; empty if there
// is no such record.
func amongThem(got, want []backend.Record) string {
	for i := range got {
		g := &got[i]
		at := slices.IndexFunc(want, func(w backend.Record) bool { return w.Position == g.Position })
		if at < 0 {
			return fmt.Sprintf("record %d (%s, stream %.40q, version %d, position %d) was not stored, or not there", i, g.Type, g.Stream, g.Version, g.Position)
		}
		if d := difference(g, &want[at]); d != "" {
			return fmt.Sprintf("record %d (stream %.40q, version %d): %s", i, g.Stream, g.Version, d)
		}
		want = want[at+1:]
	}
	return ""
}

// numbered are an image's records without snapshots.
func (im image) numbered() (out []backend.Record) {
	for _, r := range im.records {
		if r.Kind != backend.Snapshot {
			out = append(out, r)
		}
	}
	return out
}

func scan08(c *Case) {
	c.truthful(scanLies)
}

func scan11(c *Case) { c.truthful(scanHides) }

// truthful lets the store rot and judges what reads make of it. An opening that is refused
// and says where has seen the damage, as a read does that meets it.
func (c *Case) truthful(rule ID) {
	r := c.rotting()
	r.judging = rule
	tried, met, refused := 0, 0, 0
	r.each(mostRots, func(at int64, s Subject, err error) {
		tried++
		r.truth(fmt.Sprintf("open with byte %d of %d wrong", at, r.bytes), err)
		switch {
		case placed(err):
			refused++
		case err == nil && r.damaged(at, s):
			met++
		}
	})
	c.note("of %d wrong bytes reads met %d, and openings %d", tried, met, refused)
	if met+refused == 0 {
		c.inconclusive("of %d wrong bytes none mattered to any read, nor to an opening that says where it is", tried)
	}
	c.unchanged(c.open(), r.want)
}

// placed reports whether err is damage with its place.
func placed(err error) bool {
	var ce *backend.CorruptError
	return errors.As(err, &ce) && (ce.File != "" || ce.Stream != "" || ce.Position > 0)
}

func scan02(c *Case) {
	r := c.rotting()
	met := 0
	r.each(rots, func(at int64, s Subject, err error) {
		if err != nil || !r.damaged(at, s) {
			return
		}
		met++
		report := c.scan(s, false)
		c.check(!report.Clean(), "a scan that is not clean", "byte %d of %d is wrong, reads are ErrCorrupt, and the scan is clean: %s", at, r.bytes, few(anomalies(report)))
	})
	if met == 0 {
		r.unread()
	}
}

// unread ends a check that wants a store which is damaged and open. An engine that checks
// everything at every opening has none; if it claims to put damage in order it must.
func (r *rotten) unread() {
	if r.mends || !r.refuses {
		r.c.inconclusive("no wrong byte was found that costs a record and can be scanned")
	}
	r.c.unsupported("the engine opens no store that is damaged, and claims no recovery of one")
}

func scan09(c *Case) {
	r := c.rotting()
	r.each(rots, func(at int64, s Subject, err error) {
		if err != nil || !r.damaged(at, s) {
			return
		}
		report := c.scan(s, false)
		placed := slices.ContainsFunc(report.Anomalies, func(a backend.Anomaly) bool {
			return a.Severity != backend.Notice && (a.File != "" && a.Offset >= 0 || a.Stream != "" && a.Version > 0 || a.Position > 0)
		})
		c.check(placed, "a finding with a place", "byte %d of %d is wrong: %v", at, r.bytes, few(report.Anomalies))
	})
}

// hurt makes a byte wrong that costs a stream records, while the store is closed, and
// leaves it so. It returns where.
func (r *rotten) hurt() int64 {
	c := r.c
	start := c.env.Rand.Float64()
	for n := range 40 * rots {
		at := r.draw(n, start)
		r.flip(at, 0x41)
		if s, err := r.open(); err == nil {
			errRead := r.streams(s)
			report, errScan := s.Scan(c.ctx, nil)
			s.Close()
			if errors.Is(errRead, backend.ErrCorrupt) && errScan == nil && report.Damages > 0 {
				c.note("byte %d of %d is wrong: %v", at, r.bytes, errRead)
				return at
			}
		}
		r.flip(at, 0x41)
	}
	r.unread()
	return 0
}

// streams reads every stream and returns the first error.
func (r *rotten) streams(s Subject) error {
	for _, info := range r.want.streams {
		if _, err := collect(r.c.ctx, s, backend.Query{Stream: info.Name}); err != nil {
			return err
		}
	}
	return nil
}

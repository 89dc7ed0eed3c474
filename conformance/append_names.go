package conformance

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// invalidBatches is one batch for each way of being invalid.
func invalidBatches() map[string]backend.Batch {
	change := func(f func(*backend.Record)) []backend.Record {
		r := events("x", 2)
		f(&r[1])
		return r
	}
	good := events("x", 1)
	numbers := func(f func(*backend.Record)) []backend.Record {
		r := event("restored")
		r.Kind, r.Position, r.Version = backend.Event, 1<<20, 1
		f(&r)
		return []backend.Record{r}
	}
	return map[string]backend.Batch{
		"no stream":             {Records: good},
		"stream too long":       {Stream: strings.Repeat("s", backend.MaxStreamBytes+1), Records: good},
		"stream with NUL":       {Stream: "a\x00b", Records: good},
		"stream not UTF-8":      {Stream: "a\xff", Records: good},
		"reserved prefix":       {Stream: "$sys/", Records: good},
		"reserved, no kind":     {Stream: "$sys/x", Records: good},
		"reserved, unknown":     {Stream: "$sys/x/other", Records: good},
		"reserved, no system":   {Stream: "$sys//audit", Records: good},
		"event in audit stream": {Stream: "$sys/x/audit", Records: change(func(r *backend.Record) { r.Kind = backend.Event })},
		"audit among events":    {Stream: "a", Records: change(func(r *backend.Record) { r.Kind = backend.Audit })},
		"unknown kind":          {Stream: "a", Records: change(func(r *backend.Record) { r.Kind = 9 })},
		"snapshot in Append":    {Stream: "a", Records: change(func(r *backend.Record) { r.Kind, r.Version = backend.Snapshot, 1 })},
		"type too long":         {Stream: "a", Records: change(func(r *backend.Record) { r.Type = strings.Repeat("t", backend.MaxTypeBytes+1) })},
		"type with NUL":         {Stream: "a", Records: change(func(r *backend.Record) { r.Type = "t\x00" })},
		"type not UTF-8":        {Stream: "a", Records: change(func(r *backend.Record) { r.Type = "\xc3\x28" })},
		"meta not well formed":  {Stream: "a", Records: change(func(r *backend.Record) { r.Meta = backend.Meta{9} })},
		"meta with empty key":   {Stream: "a", Records: change(func(r *backend.Record) { r.Meta = backend.Meta{0, 0} })},
		"meta with a key twice": {Stream: "a", Records: change(func(r *backend.Record) { r.Meta = backend.Meta("\x01k\x00\x01k\x00") })},
		"meta too long":         {Stream: "a", Records: change(func(r *backend.Record) { r.Meta = append(backend.Meta("\x01k\x80\x80\x04"), make([]byte, 64<<10)...) })},
		"time out of range":     {Stream: "a", Records: change(func(r *backend.Record) { r.Time = time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC) })},
		"restored, no position": {Stream: "r", Restore: true, Records: numbers(func(r *backend.Record) { r.Position = 0 })},
		"restored, no version":  {Stream: "r", Restore: true, Records: numbers(func(r *backend.Record) { r.Version = 0 })},
		"restored, no time":     {Stream: "r", Restore: true, Records: numbers(func(r *backend.Record) { r.Time = time.Time{} })},
		"restored, no kind":     {Stream: "r", Restore: true, Records: numbers(func(r *backend.Record) { r.Kind = 0 })},
	}
}

func append08(c *Case) {
	s := c.open()
	c.put(s, unchecked("a", 1))
	for name, b := range invalidBatches() {
		if !b.Restore {
			b.Expected = backend.Any
		}
		c.note("%s", name)
		c.refused(s, b, backend.ErrInvalid)
		results, _ := s.AppendAll(c.ctx, []backend.Batch{b})
		c.check(len(results) == 1, "one result", "AppendAll, %s: %d", name, len(results))
		c.wantError("AppendAll, "+name, results[0].Err, backend.ErrInvalid)
	}
}

func append09(c *Case) {
	s := c.open()
	c.put(s, unchecked("a", 2))
	before := c.image(s)
	for name, b := range invalidBatches() {
		if _, err := s.Append(c.ctx, b); err == nil {
			c.note("%s was not refused: APPEND-08", name)
			return
		}
	}
	for _, b := range []backend.Batch{expecting("a", 1, 3), expecting("a", 5, 3), expecting("new", 1, 2), expecting("a", 0, 1)} {
		if _, err := c.try(s, b); err == nil {
			return // OCC-01, OCC-02 and OCC-04
		}
	}
	c.unchanged(s, before)
	res := c.put(s, unchecked("a", 1))
	c.check(res.Version == 3, "version 3: the refused took none", "version %d", res.Version)
}

// oddNames are valid names that a careless engine folds, splits, sorts or loses.
var oddNames = []string{
	"a", "A", "a ", " a", "a/b", "a/b/c", "ab", "a//b", "a/", "/a", "/", ".", "..", "../a", "../../etc/passwd", "a.b", "CON", "nul", "a:b", `a\b`,
	"é", "e\u0301", "ß", "ss", "SS", "ſ", "İ", "i̇", "日本", "👩‍🚀", "\u200b", "\ufeffa", "\u202ea", "%", "_", "a%", "a_", "a*", "a?", "[a]", "'; DROP TABLE records; --", `"`, "`", "$1", "$sys", "$sysx/audit", "\n", "a\n", "\t", "\x01", "\x7f", "0", "00", "1", "-1", "null", "\U0010ffff",
}

func append14(c *Case) {
	s := c.open()
	long := strings.Repeat("x", backend.MaxStreamBytes-1)
	names := append([]string{long + "1", long + "2", long}, oddNames...)
	batches := make([]backend.Batch, len(names))
	for i, name := range names {
		batches[i] = backend.Batch{Stream: name, Records: events(fmt.Sprint("n", i, "."), 1)}
	}
	c.putAll(s, batches)
	for i, name := range names {
		got := c.read(s, backend.Query{Stream: name})
		c.check(len(got) == 1, "1 record", "stream %.40q: %d", name, len(got))
		c.check(got[0].Type == batches[i].Records[0].Type && got[0].Stream == name, "the record of its own", "stream %.40q: record %s of stream %.40q", name, got[0].Type, got[0].Stream)
	}
	c.check(len(c.streams(s, backend.StreamQuery{})) == len(names), fmt.Sprint(len(names), " streams"), "%d", len(c.streams(s, backend.StreamQuery{})))
}

func append15(c *Case) {
	s := c.open()
	for stream, kind := range map[string]backend.Kind{
		"a":                backend.Event,
		"x/audit":          backend.Event,
		"$sys/x/lifecycle": backend.Lifecycle, "$sys/x/audit": backend.Audit, "$sys/x/deadletter": backend.DeadLetter, "$sys/x/y/audit": backend.Audit,
	} {
		b := unchecked(stream, 2)
		b.Records[1].Kind = kind
		c.put(s, b)
		for _, r := range c.read(s, backend.Query{Stream: stream}) {
			c.check(r.Kind == kind, kind.String(), "stream %s: %v", stream, r.Kind)
		}
	}
}

func append16(c *Case) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)
	s := c.open(func(o *backend.Options) { o.Clock = func() time.Time { return at.In(time.FixedZone("x", 3600)) } })
	c.put(s, backend.Batch{Stream: "a", Expected: backend.Any, Records: []backend.Record{{Type: "stamped"}, {Type: "brought", Time: someTime}, {Type: "stamped"}}})
	for i, r := range c.read(s, backend.Query{Stream: "a"}) {
		want := []time.Time{at, someTime, at}[i]
		c.check(r.Time.Equal(want), want.String(), "record %d: %v", i, r.Time)
	}
}

func append24(c *Case) {
	s := c.open()
	r := event("elsewhere")
	r.Time = someTime.In(time.FixedZone("elsewhere", -7*3600))
	c.put(s, backend.Batch{Stream: "a", Expected: backend.Any, Records: []backend.Record{r, {Type: "stamped"}}})
	r.Stream, r.Version = "a", 1
	_, err := s.SaveSnapshot(c.ctx, r)
	c.noError("SaveSnapshot", err)
	for _, r := range c.read(s, backend.Query{Kinds: backend.AllKinds}) {
		c.check(r.Time.Location() == time.UTC, "a time in UTC", "%s: %v", r.Type, r.Time)
	}
}

func append17(c *Case) {
	const record, batch = 1000, 2500
	s := c.open(func(o *backend.Options) { o.Limits = backend.Limits{RecordBytes: record, BatchBytes: batch} })
	c.check(s.Limits() == backend.Limits{RecordBytes: record, BatchBytes: batch}, "the limits asked for", "%+v", s.Limits())
	of := func(sizes ...int) backend.Batch {
		b := backend.Batch{Stream: "stream", Expected: backend.Any}
		for _, n := range sizes {
			r := backend.Record{Type: "type", Time: someTime}
			r.Payload = make([]byte, n-len(b.Stream)-len(r.Type))
			b.Records = append(b.Records, r)
		}
		return b
	}
	c.put(s, of(record))
	c.put(s, of(record, record, batch-2*record))
	before := c.image(s)
	for _, b := range []backend.Batch{of(record + 1), of(10, record+1), of(record, record, batch-2*record+1)} {
		c.refused(s, b, backend.ErrTooLarge)
	}
	c.unchanged(s, before)
	c.atStoreLimits()
}

// atStoreLimits probes the limits that the store has by itself.
func (c *Case) atStoreLimits() {
	s := c.opened[0]
	c.close(s)
	s = c.open()
	l := s.Limits()
	payload := make([]byte, l.RecordBytes)
	copy(payload, "begin")
	copy(payload[l.RecordBytes-7:], "end")
	fits := backend.Batch{Stream: "l", Expected: backend.Any, Records: []backend.Record{{Payload: payload[1:], Time: someTime}}}
	over := fits
	over.Records = []backend.Record{{Payload: payload, Time: someTime}}
	c.refused(s, over, backend.ErrTooLarge)
	c.put(s, fits)
	got := c.read(s, backend.Query{Stream: "l"})
	c.check(len(got) == 1 && string(got[0].Payload) == string(payload[1:]), fmt.Sprintf("the record of %d bytes", l.RecordBytes), "%d records", len(got))
}

func append18(c *Case) {
	s := c.open()
	c.put(s, unchecked("a", 1))
	batches := []backend.Batch{
		expecting("a", 1, 2),   // fits
		expecting("a", 1, 1),   // stale by now
		{Stream: "a\x00"},      // invalid
		expecting("a", 3, 1),   // follows the first
		{Stream: "b"},          // empty
		expecting("b", 0, 1),   // another stream
		expecting("b", 0, 1),   // stale
		unchecked("b", 1),      // fits
		expecting("new", 7, 1), // from the future
	}
	results, err := s.AppendAll(c.ctx, batches)
	c.note("append all: %d batches: %s", len(batches), errText(err))
	c.noError("AppendAll", err)
	c.check(len(results) == len(batches), "a result for each batch", "%d", len(results))
	for i, want := range []struct {
		err     error
		version backend.Version
	}{{nil, 3}, {backend.ErrConflict, 0}, {backend.ErrInvalid, 0}, {nil, 4}, {nil, 0}, {nil, 1}, {backend.ErrConflict, 0}, {nil, 2}, {backend.ErrConflict, 0}} {
		if want.err != nil {
			c.wantError(fmt.Sprint("batch ", i), results[i].Err, want.err)
		}
		c.check(want.err != nil || results[i].Err == nil, "no error", "batch %d: %v", i, results[i].Err)
		c.check(results[i].Version == want.version, fmt.Sprint("version ", want.version), "batch %d: version %d", i, results[i].Version)
	}
	got := types(c.read(s, backend.Query{}))
	want := []string{"a.1", "a.1", "a.2", "a.1", "b.1", "b.1"}
	c.check(slices.Equal(got, want), fmt.Sprint(want), "%v", got)
}

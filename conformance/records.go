package conformance

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// someTime is a time whose nanoseconds are not zero.
var someTime = time.Date(2021, 3, 4, 5, 6, 7, 89_012_345, time.UTC)

// event returns a record of the given type; its payload is the type in brackets.
func event(format string, args ...any) backend.Record {
	name := fmt.Sprintf(format, args...)
	return backend.Record{Type: name, Payload: []byte("<" + name + ">"), Time: someTime}
}

// events returns n records of types <label>1, <label>2, …
func events(label string, n int) []backend.Record {
	out := make([]backend.Record, n)
	for i := range out {
		out[i] = event("%s%d", label, i+1)
	}
	return out
}

// unchecked is a batch of n records that goes after whatever the stream holds.
func unchecked(stream string, n int) backend.Batch {
	return backend.Batch{Stream: stream, Expected: backend.Any, Records: events(stream+".", n)}
}

// expecting is a batch of n records for a stream at the given version.
func expecting(stream string, v backend.Version, n int) backend.Batch {
	return backend.Batch{Stream: stream, Expected: v, Records: events(stream+".", n)}
}

func batchText(b *backend.Batch) string {
	expected := fmt.Sprint(b.Expected)
	if b.Expected == backend.Any {
		expected = "any"
	}
	s := fmt.Sprintf("%.40q, expected %s, %d records", b.Stream, expected, len(b.Records))
	if b.Restore {
		s = fmt.Sprintf("%.40q, restore, %d records", b.Stream, len(b.Records))
	}
	if b.Epoch != 0 {
		s += fmt.Sprintf(", epoch %d", b.Epoch)
	}
	if !b.ID.IsZero() {
		s += fmt.Sprintf(", ID %.8v", b.ID.String())
	}
	return s
}

// try appends a batch and notes the verdict.
func (c *Case) try(s Subject, b backend.Batch) (backend.Result, error) {
	res, err := s.Append(c.ctx, b)
	if err != nil {
		c.note("append %s: %v", batchText(&b), err)
	} else {
		c.note("append %s: version %d, position %d", batchText(&b), res.Version, res.Position)
	}
	return res, err
}

// put appends a batch, which must work.
func (c *Case) put(s Subject, b backend.Batch) backend.Result {
	res, err := c.try(s, b)
	c.noError("append "+batchText(&b), err)
	return res
}

// putAll appends batches, which all must work.
func (c *Case) putAll(s Subject, batches []backend.Batch) []backend.Result {
	results, err := s.AppendAll(c.ctx, batches)
	c.note("append all: %d batches: %s", len(batches), errText(err))
	c.noError("AppendAll", err)
	c.check(len(results) == len(batches), fmt.Sprintf("%d results", len(batches)), "AppendAll: %d results", len(results))
	for i := range results {
		c.noError("AppendAll, batch "+batchText(&batches[i]), results[i].Err)
	}
	return results
}

// refused appends a batch, which must be refused with an error that wraps sentinel.
func (c *Case) refused(s Subject, b backend.Batch, sentinel error) error {
	_, err := c.try(s, b)
	c.wantError("append "+batchText(&b), err, sentinel)
	return err
}

// snapshot saves a snapshot, which must work.
func (c *Case) snapshot(s Subject, stream string, v backend.Version, name string) backend.Position {
	return c.snapshotIn(s, 0, stream, v, name)
}

// snapshotIn is snapshot by a writer of an epoch.
func (c *Case) snapshotIn(s Subject, epoch uint64, stream string, v backend.Version, name string) backend.Position {
	r := event("%s", name)
	r.Stream, r.Version, r.Epoch = stream, v, epoch
	p, err := s.SaveSnapshot(c.ctx, r)
	c.note("save snapshot of %q at version %d: position %d, %s", stream, v, p, errText(err))
	c.noError("SaveSnapshot", err)
	return p
}

// collect reads to the end. The records are copies.
func collect(ctx context.Context, s Subject, q backend.Query) ([]backend.Record, error) {
	var out []backend.Record
	for r, err := range s.Read(ctx, q) {
		if err != nil {
			return out, err
		}
		out = append(out, r.Clone())
	}
	return out, nil
}

func queryText(q backend.Query) string {
	s := "read the store"
	if q.Stream != "" {
		s = fmt.Sprintf("read %.40q", q.Stream)
	}
	s += fmt.Sprintf(" from %d to %d", q.From, q.To)
	if q.Limit != 0 {
		s += fmt.Sprintf(" limit %d", q.Limit)
	}
	if q.Reverse {
		s += " reverse"
	}
	if q.Prefix != "" {
		s += fmt.Sprintf(" prefix %.40q", q.Prefix)
	}
	if len(q.Types) > 0 {
		s += fmt.Sprintf(" types %.80q", q.Types)
	}
	for _, bound := range []struct {
		name string
		at   time.Time
	}{{"since", q.Since}, {"until", q.Until}} {
		if !bound.at.IsZero() {
			s += fmt.Sprintf(" %s %v", bound.name, bound.at.Format(time.RFC3339Nano))
		}
	}
	return s
}

// read reads to the end, which must work.
func (c *Case) read(s Subject, q backend.Query) []backend.Record {
	records, err := collect(c.ctx, s, q)
	c.note("%s: %d records, %s", queryText(q), len(records), errText(err))
	c.noError(queryText(q), err)
	return records
}

func (c *Case) head(s Subject, stream string) backend.Head {
	h, err := s.Head(c.ctx, stream)
	c.noError("Head", err)
	return h
}

func (c *Case) last(s Subject) backend.Position {
	p, err := s.Last(c.ctx)
	c.noError("Last", err)
	return p
}

// streams lists streams, which must work.
func (c *Case) streams(s Subject, q backend.StreamQuery) []backend.StreamInfo {
	list, err := collectStreams(c.ctx, s, q)
	c.note("list streams, prefix %q, after %.20q, limit %d: %d, %s", q.Prefix, q.After, q.Limit, len(list), errText(err))
	c.noError("Streams", err)
	return list
}

func collectStreams(ctx context.Context, s Subject, q backend.StreamQuery) (list []backend.StreamInfo, err error) {
	for info, err := range s.Streams(ctx, q) {
		if err != nil {
			return list, err
		}
		list = append(list, info)
	}
	return list, nil
}

// types returns the records' types: what most rules tell records apart by.
func types(records []backend.Record) []string {
	out := make([]string, len(records))
	for i := range records {
		out[i] = records[i].Type
	}
	return out
}

// few is a list for a message, cut where it is long.
func few[T any](list []T) string {
	if len(list) <= 12 {
		return fmt.Sprint(list)
	}
	return fmt.Sprintf("%v … (%d in all)", list[:12], len(list))
}

// difference says in what two records differ; empty if in nothing.
func difference(got, want *backend.Record) string {
	for _, f := range []struct {
		name      string
		got, want any
	}{
		{"Position", got.Position, want.Position},
		{"Stream", got.Stream, want.Stream},
		{"Version", got.Version, want.Version},
		{"Kind", got.Kind, want.Kind},
		{"Type", got.Type, want.Type},
		{"Schema", got.Schema, want.Schema},
		{"Epoch", got.Epoch, want.Epoch},
		{"Batch", got.Batch, want.Batch},
	} {
		if f.got != f.want {
			return fmt.Sprintf("%s is %s, want %s", f.name, short(f.got), short(f.want))
		}
	}
	switch {
	case !got.Time.Equal(want.Time):
		return fmt.Sprintf("Time is %v, want %v", got.Time, want.Time)
	case !bytes.Equal(got.Payload, want.Payload):
		return "Payload: " + bytesDifference(got.Payload, want.Payload)
	case !bytes.Equal(got.Meta, want.Meta):
		return "Meta: " + bytesDifference(got.Meta, want.Meta)
	}
	return ""
}

// short is a value for a message, its text cut where it is long.
func short(v any) string { return fmt.Sprintf("%.60s", fmt.Sprint(v)) }

func bytesDifference(got, want []byte) string {
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	return fmt.Sprintf("%d bytes, want %d; they differ from byte %d", len(got), len(want), at)
}

// same fails the rule unless got is want, record by record.
func (c *Case) same(what string, got, want []backend.Record) {
	if d := listDifference(got, want); d != "" {
		c.failf(fmt.Sprintf("%d records, as they were stored", len(want)), "%s: %s", what, d)
	}
}

func listDifference(got, want []backend.Record) string {
	for i := range min(len(got), len(want)) {
		if d := difference(&got[i], &want[i]); d != "" {
			return fmt.Sprintf("record %d (%s, stream %.40q, version %d): %s", i, got[i].Type, got[i].Stream, got[i].Version, d)
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("%d records, want %d", len(got), len(want))
	}
	return ""
}

// image is all that can be read of a store.
type image struct {
	records []backend.Record     // of every kind, in position order
	streams []backend.StreamInfo // by name: their order in a listing is READ-18's
	last    backend.Position
}

func (c *Case) image(s Subject) image {
	im := image{c.read(s, backend.Query{Kinds: backend.AllKinds}), c.streams(s, backend.StreamQuery{}), c.last(s)}
	slices.SortFunc(im.streams, func(a, b backend.StreamInfo) int { return strings.Compare(a.Name, b.Name) })
	return im
}

// unchanged fails the rule unless the store reads as it did.
func (c *Case) unchanged(s Subject, before image) {
	now := c.image(s)
	c.same("the store afterwards", now.records, before.records)
	c.check(fmt.Sprint(now.streams) == fmt.Sprint(before.streams), "streams "+few(before.streams), "streams %s", few(now.streams))
	c.check(now.last == before.last, fmt.Sprintf("last position %d", before.last), "last position %d", now.last)
}

// furnish fills a store with some of everything, and returns its image. The newest
// record is a snapshot of a version that its stream has long passed: whoever takes
// the stream's head from its newest record is wrong.
func (c *Case) furnish(s Subject) image {
	meta, err := backend.MakeMeta("trace", "t1", "empty", "")
	c.noError("MakeMeta", err)
	a := expecting("a", 0, 3)
	a.Records[1].Meta, a.Records[2].Schema = meta, 7
	c.put(s, a)
	c.put(s, expecting("b", 0, 1))
	c.snapshot(s, "a", 2, "snap2")
	c.put(s, expecting("a", 3, 2))
	c.put(s, unchecked(backend.SystemStream("sys", backend.Audit), 2))
	c.snapshot(s, "a", 3, "snap3")
	return c.image(s)
}

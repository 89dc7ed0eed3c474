package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/papyra-go/papyra/backend"
)

func errorGroup() Group {
	return Group{"ERROR", "What an error says to the program that gets it.", []Rule{
		{ID: "ERROR-01", Name: "no raw error comes out", Since: "0.2",
			Requires: []ID{"OPEN-04", "OPEN-12", "OPEN-14", "APPEND-08", "APPEND-19", "APPEND-23", "OCC-01", "READ-03"},
			Sentence: "Every error that a backend returns is an OpError with the operation and the backend's name, and wraps a sentinel of package backend or the context's error.",
			Check:    error01},
	}}
}

// theName is the name under which ERROR-01 opens backends.
const theName = "the backend's name"

func named(o *backend.Options) { o.Name = theName }

// said fails the rule unless err says all that an error has to. That a call is
// refused at all is for other rules.
func (c *Case) said(what string, op backend.Op, err error) {
	if err == nil {
		return
	}
	c.note("%s: %v", what, err)
	known := slices.ContainsFunc(sentinels, func(s sentinel) bool { return errors.Is(err, s.err) })
	c.check(known, "an error that wraps a sentinel of package backend, or the context's error", "%s: %v (%T)", what, err, err)
	var oe *backend.OpError
	c.check(errors.As(err, &oe), "an *OpError", "%s: %v (%T)", what, err, err)
	c.check(oe.Op == op && oe.Backend == theName, fmt.Sprintf("operation %q of backend %q", op, theName), "%s: operation %q of backend %q: %v", what, oe.Op, oe.Backend, err)
}

func error01(c *Case) {
	cancelled, cancel := context.WithCancel(c.ctx)
	cancel()
	open := func(ctx context.Context, what string, changes ...func(*backend.Options)) {
		_, err := c.tryOpen(ctx, append(changes, named)...)
		c.said(what, backend.OpOpen, err)
	}
	open(cancelled, "open with a cancelled context")
	open(c.ctx, "open with invalid options", func(o *backend.Options) { o.WriteTimeout = -1 })
	s := c.open(named, func(o *backend.Options) { o.Limits.RecordBytes = 1000 })
	open(c.ctx, "open while it is open") // a second opener, or another store
	c.put(s, inEpoch(3, expecting("a", 0, 2)))
	c.put(s, restored("cut", [2]uint64{1000, 5}, [2]uint64{1001, 6}))
	for _, call := range refusedCalls(c.ctx, s) {
		c.said(call.name, call.op, call.do())
	}
	for _, call := range failingCalls(cancelled, s) {
		c.said(call.name+" with a cancelled context", call.op, call.do())
	}
	c.close(s)
	for _, call := range failingCalls(c.ctx, s) {
		c.said(call.name+" after Close", call.op, call.do())
	}
	c.said("Reopen after Close", backend.OpReopen, s.Reopen(c.ctx))
	s = c.open(named, func(o *backend.Options) { o.ReadOnly = true })
	for _, call := range failingCalls(c.ctx, s) {
		c.said(call.name+", read-only", call.op, call.do())
	}
}

// refusedCalls is one call for each way of being refused by a store with a stream
// at version 2 in epoch 3 and a stream "cut" whose floor is 5.
func refusedCalls(ctx context.Context, s Subject) []namedCall {
	large := inEpoch(3, unchecked("a", 1))
	large.Records[0].Payload = make([]byte, 1001)
	appending := func(name string, b backend.Batch) namedCall {
		return namedCall{"Append of " + name, backend.OpAppend, func() error { _, err := s.Append(ctx, b); return err }}
	}
	inAll := func(name string, b backend.Batch) namedCall {
		return namedCall{"AppendAll with " + name, backend.OpAppend, func() error {
			results, err := s.AppendAll(ctx, []backend.Batch{b})
			if len(results) > 0 && results[0].Err != nil {
				return results[0].Err
			}
			return err
		}}
	}
	snapshot := func(name, stream string, v backend.Version) namedCall {
		r := event("snap")
		r.Stream, r.Version, r.Epoch = stream, v, 3
		return namedCall{"SaveSnapshot of " + name, backend.OpSaveSnapshot, func() error { _, err := s.SaveSnapshot(ctx, r); return err }}
	}
	reading := func(name string, q backend.Query) namedCall {
		return namedCall{"Read " + name, backend.OpRead, func() error { _, err := collect(ctx, s, q); return err }}
	}
	recovery := func(name string, mode backend.RecoveryMode) namedCall {
		return namedCall{"Recover with " + name, backend.OpRecover, func() error {
			_, err := s.Recover(ctx, backend.RecoveryOptions{Mode: mode})
			return err
		}}
	}
	stale, fenced, invalid := inEpoch(3, expecting("a", 1, 1)), inEpoch(2, expecting("a", 2, 1)), unchecked("", 1)
	misfit := restored("cut", [2]uint64{1001, 7})
	return []namedCall{
		appending("a stale batch", stale), appending("a fenced batch", fenced), appending("an invalid batch", invalid),
		appending("too large a record", large), appending("a restored record that does not fit", misfit),
		inAll("a stale batch", stale), inAll("a fenced batch", fenced), inAll("an invalid batch", invalid),
		snapshot("an unreached version", "a", 99), snapshot("version 0", "a", 0), snapshot("no stream", "", 1),
		reading("with a negative limit", backend.Query{Limit: -1}), reading("of a name that can't be", backend.Query{Stream: "a\x00"}),
		reading("below the floor", backend.Query{Stream: "cut", From: 1}),
		{"Snapshot that is not there", backend.OpSnapshot, func() error { _, err := s.Snapshot(ctx, "a", 0); return err }},
		{"Snapshot of no stream", backend.OpSnapshot, func() error { _, err := s.Snapshot(ctx, "", 0); return err }},
		{"Head of no stream", backend.OpHead, func() error { _, err := s.Head(ctx, ""); return err }},
		{"Streams with a negative limit", backend.OpStreams, func() error {
			_, err := collectStreams(ctx, s, backend.StreamQuery{Limit: -1})
			return err
		}},
		recovery("an unknown mode", 99), recovery("repair", backend.Repair), recovery("quarantine", backend.Quarantine),
		{"Compact", backend.OpCompact, func() error { _, err := s.Compact(ctx, backend.Cut{}); return err }},
		{"Compact above the newest", backend.OpCompact, func() error {
			_, err := s.Compact(ctx, backend.Cut{Floors: []backend.StreamFloor{floorAt("cut", 99)}})
			return err
		}},
		{"Compact of a stream at another version", backend.OpCompact, func() error {
			_, err := s.Compact(ctx, backend.Cut{Floors: []backend.StreamFloor{{Stream: "cut", Floor: 2, Delete: true}}})
			return err
		}},
		{"PlanCut with a negative bound", backend.OpPlanCut, func() error {
			_, err := s.PlanCut(ctx, backend.Retention{backend.Event: {MaxRecords: -1}})
			return err
		}},
		{"Hold without a name", backend.OpHold, func() error { _, err := s.Hold("", 1); return err }},
	}
}

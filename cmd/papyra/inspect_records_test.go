package main

import (
	"testing"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/memory"
)

func TestOneSystemStreamIsReadForAllOfItsKind(t *testing.T) {
	b, err := memory.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, name := range []string{"a", "$sys/one/audit", "$sys/one/lifecycle", "$sys/two/lifecycle"} {
		if _, err := b.Append(t.Context(), backend.Batch{Stream: name, Expected: backend.Any, Records: make([]backend.Record, 1)}); err != nil {
			t.Fatal(err)
		}
	}
	audits, lives, both := backend.KindSet(backend.Audit), backend.KindSet(backend.Lifecycle), backend.KindSet(backend.Audit, backend.Lifecycle)
	for _, c := range []struct {
		q    backend.Query
		want string // "none": nothing to read
	}{
		{backend.Query{Kinds: audits}, "$sys/one/audit"},
		{backend.Query{Kinds: audits, Prefix: "$sys/one", Limit: 3, Reverse: true}, "$sys/one/audit"},
		{backend.Query{Kinds: lives, Prefix: "$sys/two"}, "$sys/two/lifecycle"},
		{backend.Query{Kinds: lives}, ""},
		{backend.Query{Kinds: both}, ""},
		{backend.Query{Kinds: audits, Prefix: "$sys/two"}, "none"},
		{backend.Query{Kinds: audits, From: 1}, ""},
		{backend.Query{Kinds: audits, To: 9}, ""},
		{backend.Query{Kinds: audits | backend.KindSet(backend.Event)}, ""},
		{backend.Query{Kinds: backend.KindSet(backend.Snapshot)}, ""},
		{backend.Query{Kinds: backend.KindSet(backend.DeadLetter)}, "none"},
		{backend.Query{}, ""},
	} {
		got, some := systemStream(t.Context(), b, c.q)
		if !some {
			got.Stream = "none"
		}
		if got.Stream != c.want || got.Limit != c.q.Limit || got.Reverse != c.q.Reverse {
			t.Errorf("%+v: stream %q, want %q", c.q, got.Stream, c.want)
		}
	}
}

package conformance

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/papyra-go/papyra/backend"
)

// Action is what an operation of an explored history does.
type Action string

// The actions.
const (
	DoAppend   Action = "append"    // one batch
	DoBatches  Action = "batches"   // two batches in one AppendAll, of Stream and of Other
	DoRestore  Action = "restore"   // one record that brings its numbers
	DoSnapshot Action = "snapshot"  // save a snapshot of version From
	DoRead     Action = "read"      // read a stream
	DoPage     Action = "page"      // read the whole store, Limit records at a time
	DoLook     Action = "look"      // a stream's head, and its newest snapshot at or below From
	DoList     Action = "list"      // the streams
	DoReopen   Action = "reopen"    // close and open again
	DoScan     Action = "scan"      // check the store
	DoCompact  Action = "compact"   // cut the stream at floor From
	DoRetain   Action = "retention" // plan to keep Limit records of each stream, and make that cut
)

// Op is one operation of an explored history. Which fields count depends on Do.
type Op struct {
	Do       Action
	Stream   string
	Other    string          // the second batch's stream
	Expected backend.Version // may be [backend.Any]
	Epoch    uint64
	ID       byte   // names a batch: one of the same ID always has the same records; 0: none
	N        int    // how many records, from 1; with an ID, the ID is the number
	From, To uint64 // versions
	Limit    int
	Reverse  bool
}

// String is the operation in words.
func (o Op) String() string {
	s := string(o.Do)
	if o.Stream != "" {
		s += fmt.Sprintf(" %q", o.Stream)
	}
	switch o.Do {
	case DoAppend, DoBatches:
		if o.Do == DoBatches {
			s += fmt.Sprintf(" and %q", o.Other)
		}
		expected := "any"
		if o.Expected != backend.Any {
			expected = fmt.Sprint(o.Expected)
		}
		return s + fmt.Sprintf(", expected %s, %d records, epoch %d, ID %d", expected, o.records(), o.Epoch, o.ID)
	case DoRestore:
		return s + fmt.Sprintf(", epoch %d", o.Epoch)
	case DoSnapshot:
		return s + fmt.Sprintf(" of version %d, epoch %d", o.From, o.Epoch)
	case DoRead:
		return s + fmt.Sprintf(" from %d to %d, limit %d, reverse %v", o.From, o.To, o.Limit, o.Reverse)
	case DoPage:
		return s + fmt.Sprintf(" by %d", max(o.Limit, 1))
	case DoLook:
		return s + fmt.Sprintf(", snapshot up to %d", o.From)
	case DoCompact:
		return s + fmt.Sprintf(", floor %d", o.From)
	case DoRetain:
		return s + fmt.Sprintf(", %d records of each stream", max(o.Limit, 1))
	}
	return s
}

// GoString is the operation as Go source.
func (o Op) GoString() string {
	names := map[Action]string{DoAppend: "DoAppend", DoBatches: "DoBatches", DoRestore: "DoRestore", DoSnapshot: "DoSnapshot", DoRead: "DoRead", DoPage: "DoPage",
		DoLook: "DoLook", DoList: "DoList", DoReopen: "DoReopen", DoScan: "DoScan", DoCompact: "DoCompact", DoRetain: "DoRetain"}
	s := "{Do: conformance." + names[o.Do]
	field := func(name string, zero bool, value any) {
		if !zero {
			s += fmt.Sprintf(", %s: %v", name, value)
		}
	}
	field("Stream", o.Stream == "", fmt.Sprintf("%q", o.Stream))
	field("Other", o.Other == "", fmt.Sprintf("%q", o.Other))
	if o.Expected == backend.Any {
		field("Expected", false, "backend.Any")
	} else {
		field("Expected", o.Expected == 0, o.Expected)
	}
	field("Epoch", o.Epoch == 0, o.Epoch)
	field("ID", o.ID == 0, o.ID)
	field("N", o.N == 0, o.N)
	field("From", o.From == 0, o.From)
	field("To", o.To == 0, o.To)
	field("Limit", o.Limit == 0, o.Limit)
	field("Reverse", !o.Reverse, o.Reverse)
	return s + "}"
}

// TestSource is a Go test that plays the operations, to be pasted beside the harness.
func TestSource(ops []Op) string {
	var b strings.Builder
	b.WriteString("func TestFound(t *testing.T) {\n\td, err := conformance.Replay(t.Context(), harness(), []conformance.Op{\n")
	for _, o := range ops {
		fmt.Fprintf(&b, "\t\t%#v,\n", o)
	}
	b.WriteString("\t})\n\tif err != nil || d != nil {\n\t\tt.Fatal(err, d)\n\t}\n}\n")
	return b.String()
}

// records is how many records the operation's batch has.
func (o *Op) records() int {
	if o.ID > 0 {
		return int(o.ID)
	}
	return max(o.N, 1)
}

// label is the type of a batch's record, and its payload in brackets: it says which
// operation wrote it, at, or which batch it came with.
func (o *Op) label(at, record int) string {
	if o.ID > 0 {
		return fmt.Sprintf("id%d.%d", o.ID, record)
	}
	return fmt.Sprintf("op%d.%d", at, record)
}

// second is the second batch of DoBatches: like the first, for the other stream, at
// whatever version.
func (o *Op) second() Op {
	return Op{Do: DoAppend, Stream: o.Other, Expected: backend.Any, Epoch: o.Epoch, N: 1 + o.records()%2}
}

// speaksOf are the rules that speak of an action, as globs.
var speaksOf = map[Action][]string{
	DoAppend:   {"APPEND-*", "OCC-*", "IDEM-*"},
	DoBatches:  {"APPEND-*", "OCC-*", "IDEM-*"},
	DoRestore:  {"APPEND-*"},
	DoSnapshot: {"APPEND-*", "OCC-*", "READ-*"},
	DoRead:     {"READ-*", "APPEND-*", "OPEN-*", "COMPACT-*"},
	DoPage:     {"READ-*", "APPEND-*", "OPEN-*", "COMPACT-*"},
	DoLook:     {"READ-*", "APPEND-*", "OPEN-*", "COMPACT-*"},
	DoList:     {"READ-*", "OPEN-*", "COMPACT-*"},
	DoReopen:   {"OPEN-*", "LOCK-*"},
	DoScan:     {"SCAN-*", "CLAIM-*", "METRIC-*"},
	DoCompact:  {"COMPACT-*", "CLAIM-*"},
	DoRetain:   {"RET-*", "COMPACT-*"},
}

// Actions returns what can be asked of a backend with these features.
func (f Features) Actions() []Action {
	all := []Action{DoAppend, DoAppend, DoAppend, DoBatches, DoRestore, DoSnapshot, DoRead, DoRead, DoPage, DoLook, DoList, DoScan} // appends and reads more often
	if f.Reopens {
		all = append(all, DoReopen)
	}
	if f.Compacts {
		all = append(all, DoCompact, DoCompact, DoRetain)
	}
	return all
}

var exploredStreams = []string{"a", "a/b", "b"}

// RandomOps returns n operations that a backend with these features can be asked.
func RandomOps(r *rand.Rand, n int, f Features) []Op {
	actions := f.Actions()
	ops := make([]Op, n)
	for i := range ops {
		ops[i] = Op{Do: actions[r.IntN(len(actions))]}.Filled(func(most int) int { return r.IntN(most + 1) })
	}
	return ops
}

// Filled is an operation that does o.Do, with what else it needs drawn by upTo, which
// returns a number from 0 to most. Smaller numbers make plainer operations.
func (o Op) Filled(upTo func(most int) int) Op {
	if o.Do != DoPage && o.Do != DoList && o.Do != DoReopen && o.Do != DoScan && o.Do != DoRetain {
		o.Stream = exploredStreams[upTo(len(exploredStreams)-1)]
	}
	switch o.Do {
	case DoAppend, DoBatches:
		o.Expected = backend.Version(upTo(8))
		if o.ID = byte(upTo(2)); o.ID == 0 {
			o.N = 1 + upTo(2)
			if upTo(2) > 0 {
				o.Expected = backend.Any
			}
		}
		if upTo(5) == 5 {
			o.Epoch = uint64(upTo(2))
		}
		if o.Do == DoBatches {
			o.Other = exploredStreams[upTo(len(exploredStreams)-1)]
		}
	case DoRestore:
		o.Epoch = uint64(upTo(1))
	case DoSnapshot:
		o.From, o.Epoch = uint64(1+upTo(8)), uint64(upTo(1))
	case DoRead:
		if o.Reverse = upTo(3) == 3; !o.Reverse {
			o.From = uint64(upTo(6))
		}
		if upTo(1) == 1 {
			o.To = o.From + uint64(upTo(6))
		}
		o.Limit = upTo(3)
	case DoLook:
		o.From = uint64(upTo(8))
	case DoPage, DoRetain:
		o.Limit = 1 + upTo(3)
	case DoCompact:
		o.From = uint64(1 + upTo(8))
	}
	return o
}

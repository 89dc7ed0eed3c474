package linearize

import (
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/papyra-go/papyra/backend"
)

// input is what a client asks of a stream.
type input struct {
	stream   string
	read     bool // the newest record
	expected backend.Version
	label    string // the type of the record that is appended: each its own
}

// output is what came of it.
type output struct {
	version  backend.Version // of the record that was read or appended, or the conflict's
	label    string          // of the record that was read
	conflict bool
	unknown  bool
	refused  bool
}

// state is where a stream stands.
type state struct {
	version backend.Version
	label   string // of the newest record
}

// register is what a stream must behave like.
var register = porcupine.Model{
	Partition:         byStream,
	Init:              func() any { return state{} },
	Step:              func(s, in, out any) (bool, any) { return step(s.(state), in.(input), out.(output)) },
	Equal:             func(a, b any) bool { return a == b },
	DescribeOperation: func(in, out any) string { return describe(in.(input), out.(output)) },
	DescribeState:     func(s any) string { return fmt.Sprintf("version %d, %s", s.(state).version, s.(state).label) },
}

// step says whether the call can take effect in this state, and what it leaves.
func step(s state, in input, out output) (bool, state) {
	next := state{s.version + 1, in.label}
	fits := in.expected == backend.Any || in.expected == s.version
	switch {
	case in.read:
		return out.version == s.version && out.label == s.label, s
	case out.unknown && fits: // or never: then it stands after everything that was seen
		return true, next
	case out.unknown:
		return true, s
	case out.conflict:
		return !fits && out.version == s.version, s
	}
	return fits && out.version == next.version, next
}

func describe(in input, out output) string {
	what := "read"
	if !in.read {
		what = "append " + in.label
		if in.expected != backend.Any {
			what += fmt.Sprintf(" expecting %d", in.expected)
		}
	}
	switch {
	case out.unknown:
		return what + ": not known"
	case out.conflict:
		return fmt.Sprintf("%s: conflict at %d", what, out.version)
	}
	return fmt.Sprintf("%s: version %d %s", what, out.version, out.label)
}

func byStream(history []porcupine.Operation) [][]porcupine.Operation {
	parts := map[string][]porcupine.Operation{}
	var names []string
	for _, op := range history {
		name := op.Input.(input).stream
		if parts[name] == nil {
			names = append(names, name)
		}
		parts[name] = append(parts[name], op)
	}
	slices.Sort(names)
	var out [][]porcupine.Operation
	for _, name := range names {
		out = append(out, parts[name])
	}
	return out
}

// judge looks for an order.
func judge(history []porcupine.Operation, patience time.Duration) *Report {
	start := time.Now()
	result, info := porcupine.CheckOperationsVerbose(register, history, patience)
	rep := &Report{Calls: len(history), info: info, Took: time.Since(start)}
	rep.Linearizable = map[porcupine.CheckResult]string{porcupine.Ok: "ok", porcupine.Illegal: "illegal"}[result]
	if rep.Linearizable == "" {
		rep.Linearizable = "unknown"
	}
	for _, op := range history {
		if op.Output.(output).unknown {
			rep.Unknown++
		}
	}
	for _, part := range byStream(history) {
		rep.Overlapped += overlapped(part)
	}
	return rep
}

// overlapped counts the calls that ran beside another, where one of them wrote.
func overlapped(ops []porcupine.Operation) (n int) {
	for i := range ops {
		a := &ops[i]
		if slices.ContainsFunc(ops, func(b porcupine.Operation) bool {
			return b.ClientId != a.ClientId && b.Call < a.Return && a.Call < b.Return && !(a.Input.(input).read && b.Input.(input).read)
		}) {
			n++
		}
	}
	return n
}

package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
)

// Comparison is what came of playing one history on several backends.
type Comparison struct {
	Backends []string
	Ops      []Op       // what was played
	Answers  [][]string // of each backend, to each operation; empty where it was not asked
	// Differ is the first operation that not all answered alike; -1 if they did.
	Differ int
	// Fewest is the shortest history that was found in which they still differ.
	Fewest []Op
}

// Compare plays n random operations that follow from the seed on a fresh store of each
// backend, and compares the answers. Only what all of them claim is asked. Positions are
// not compared: they may have gaps. An error means that a store could not be made.
func Compare(ctx context.Context, seed uint64, n int, harnesses ...Harness) (*Comparison, error) {
	if len(harnesses) < 2 || n < 1 {
		return nil, fmt.Errorf("conformance: compare %d backends by %d operations: want two backends and one operation at least", len(harnesses), n)
	}
	f := Features{Reopens: true, Compacts: true}
	for _, h := range harnesses {
		own, err := FeaturesOf(ctx, h)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", h.Info().Name, err)
		}
		f.Reopens, f.Compacts = f.Reopens && own.Reopens, f.Compacts && own.Compacts
	}
	c, err := compareOps(ctx, f, RandomOps(rand.New(rand.NewPCG(seed, 0)), n, f), harnesses)
	if err != nil || c.Differ < 0 {
		return c, err
	}
	c.Fewest = shorten(c.Ops[:c.Differ+1], func(ops []Op) bool {
		again, err := compareOps(ctx, f, ops, harnesses)
		return err == nil && again.Differ >= 0
	})
	return c, ctx.Err()
}

func compareOps(ctx context.Context, f Features, ops []Op, harnesses []Harness) (*Comparison, error) {
	c := &Comparison{Ops: ops, Differ: -1}
	for _, h := range harnesses {
		answers := make([]string, len(ops))
		err := play(ctx, h, func(p *player) {
			for at, o := range ops {
				if f.allow(o.Do) && ctx.Err() == nil {
					answers[at] = p.do(ctx, at, o)
				}
			}
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", h.Info().Name, err)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c.Backends, c.Answers = append(c.Backends, h.Info().Name), append(c.Answers, answers)
	}
	for at := range ops {
		if c.differs(at) {
			c.Differ = at
			return c, nil
		}
	}
	return c, nil
}

func (c *Comparison) differs(at int) bool {
	return slices.ContainsFunc(c.Answers, func(a []string) bool { return a[at] != c.Answers[0][at] })
}

// shorten leaves operations out, most of them first, as long as the rest still fails.
func shorten(ops []Op, fails func([]Op) bool) []Op {
	for size := len(ops) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(ops); {
			if without := slices.Concat(ops[:at], ops[at+size:]); fails(without) {
				ops = without
			} else {
				at += size
			}
		}
	}
	return ops
}

// ComparisonSchema names the shape of a comparison in JSON.
const ComparisonSchema = "papyra.comparison/1"

// WriteJSON writes the comparison for programs.
func (c *Comparison) WriteJSON(w io.Writer) error {
	doc := struct {
		Schema     string   `json:"schema"`
		Backends   []string `json:"backends"`
		Operations int      `json:"operations"`
		Same       bool     `json:"same"`
		At         int      `json:"at"` // the first operation that is answered differently; -1: none
		Operation  string   `json:"operation,omitempty"`
		Answers    []string `json:"answers,omitempty"` // of each backend, to that one
		Test       string   `json:"test,omitempty"`    // the shortest history, as Go source
	}{Schema: ComparisonSchema, Backends: c.Backends, Operations: len(c.Ops), Same: c.Differ < 0, At: c.Differ}
	if c.Differ >= 0 {
		doc.Operation, doc.Test = c.Ops[c.Differ].String(), TestSource(c.Fewest)
		for _, answers := range c.Answers {
			doc.Answers = append(doc.Answers, answers[c.Differ])
		}
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(doc)
}

// String says where they differ, and how to see it again.
func (c *Comparison) String() string {
	if c.Differ < 0 {
		return fmt.Sprintf("%s: the same answers to %d operations", strings.Join(c.Backends, ", "), len(c.Ops))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: operation %d is answered differently: %v\n", strings.Join(c.Backends, ", "), c.Differ, c.Ops[c.Differ])
	for i, name := range c.Backends {
		fmt.Fprintf(&b, "    %-12s %s\n", name, printable(orNone(c.Answers[i][c.Differ])))
	}
	fmt.Fprintf(&b, "shortened to %d operations, which show which of them is wrong:\n\n%s", len(c.Fewest), TestSource(c.Fewest))
	return b.String()
}

// Attribute judges the rules that speak of the operations of a divergence, the last
// one's first, and returns those that do not hold. If there are none, the table has no
// rule that sees it.
func Attribute(ctx context.Context, h Harness, d *Divergence) ([]Result, error) {
	tried := []string{}
	for _, o := range slices.Backward(d.Ops) {
		var globs []string
		for _, g := range speaksOf[o.Do] {
			if !slices.Contains(tried, g) && slices.ContainsFunc(Rules(), func(r Rule) bool { return matches([]string{g}, r.ID) }) {
				globs = append(globs, g)
			}
		}
		if tried = append(tried, globs...); len(globs) == 0 {
			continue
		}
		rep, err := Check(ctx, h, Only(globs...))
		if err != nil {
			return nil, err
		}
		failed := slices.DeleteFunc(rep.Results, func(r Result) bool { return r.Verdict != Fail })
		if len(failed) > 0 {
			return failed, nil
		}
	}
	return nil, nil
}

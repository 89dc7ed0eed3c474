// Package selftest is how the conformance suite proves itself, for anyone to run: a
// reference that keeps every rule, mutants of it that each break exactly one, odd
// backends that the contract allows, every claim switched off, and backends that claim
// what they do not do. A suite that lets a broken backend pass, or fails a sound one,
// is found out.
//
// In a test:
//
//	func TestTheSuiteBites(t *testing.T) { selftest.Run(t) }
//
// and on the command line, papyra conformance --selftest. It is a package of its own so
// that who runs the suite does not link two hundred broken backends.
//
// What it is not: a test of your backend. That is [conformance.Run].
//
// Where to read next: mutants.go for what a mutant is, broken.go for the reference,
// odd.go for what is odd and allowed.
package selftest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/papyra-go/papyra/conformance"
)

// Schema names the shape of [Report] in JSON.
const Schema = "papyra.selftest/1"

// Report is what came of a self-test.
type Report struct {
	Schema   string        `json:"schema"`
	Suite    string        `json:"suite"`
	Quick    bool          `json:"quick"`
	Mutants  Count         `json:"mutants"`  // that fail exactly their rule
	Oddities Count         `json:"oddities"` // that are found conformant
	Claims   Count         `json:"claims"`   // switched off or on, and conformant all the same
	Lies     Count         `json:"lies"`     // that are found out
	Findings []Finding     `json:"findings"`
	Took     time.Duration `json:"took_ns"`
}

// Count is how many did as they must.
type Count struct {
	Right int `json:"right"`
	Of    int `json:"of"`
}

// Finding is one thing that is wrong with the suite.
type Finding struct {
	What   string `json:"what"`   // which backend or rule
	Detail string `json:"detail"` // what it did
}

// Option changes what is run.
type Option func(*settings)

type settings struct {
	quick    bool
	progress func(done, of int, what string)
}

// Quick lets a mutant meet only the rules of its target's group and those that they
// require, which takes a third of the time.
func Quick() Option { return func(s *settings) { s.quick = true } }

// Progress is told before each backend is judged.
func Progress(f func(done, of int, what string)) Option { return func(s *settings) { s.progress = f } }

// trial is one backend that the suite is tried on.
type trial struct {
	what  string
	count func(*Report) *Count
	// try returns what is wrong with the suite; nothing if it is right.
	try func(ctx context.Context) ([]string, error)
}

// Check proves the suite, or says what is wrong with it. An error means that ctx ended.
func Check(ctx context.Context, opts ...Option) (*Report, error) {
	var s settings
	for _, o := range opts {
		o(&s)
	}
	rep := &Report{Schema: Schema, Suite: conformance.Version, Quick: s.quick, Findings: []Finding{}}
	start := time.Now()
	rep.unproven()
	trials := s.trials()
	for i, t := range trials {
		if s.progress != nil {
			s.progress(i, len(trials), t.what)
		}
		wrong, err := t.try(ctx)
		if err != nil {
			return rep, err
		}
		rep.add(t, wrong)
	}
	rep.Took = time.Since(start)
	return rep, nil
}

func (rep *Report) add(t trial, wrong []string) {
	n := t.count(rep)
	if n.Of++; len(wrong) == 0 {
		n.Right++
		return
	}
	rep.Findings = append(rep.Findings, Finding{t.what, strings.Join(wrong, "\n")})
}

// unproven finds rules that no mutant fails: they may be rules that can't.
func (rep *Report) unproven() {
	all := mutants()
	for _, r := range conformance.Rules() {
		if !slices.ContainsFunc(all, func(m mutant) bool { return m.target == r.ID }) {
			rep.Findings = append(rep.Findings, Finding{"rule " + string(r.ID), "no mutant fails it: it may be a rule that can't fail"})
		}
	}
}

// Proven reports whether nothing is wrong.
func (rep *Report) Proven() bool { return len(rep.Findings) == 0 }

// Summary is the report in one line.
func (rep *Report) Summary() string {
	verdict := "PROVEN"
	if !rep.Proven() {
		verdict = "NOT PROVEN"
	}
	return fmt.Sprintf("suite %s: %s: %d of %d mutants fail exactly their rule, %d of %d odd backends pass, %d of %d sets of claims pass, %d of %d lies are caught; %v",
		rep.Suite, verdict, rep.Mutants.Right, rep.Mutants.Of, rep.Oddities.Right, rep.Oddities.Of, rep.Claims.Right, rep.Claims.Of, rep.Lies.Right, rep.Lies.Of, rep.Took.Round(time.Second))
}

// Write writes the report as text or JSON.
func (rep *Report) Write(w io.Writer, format string) error {
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(rep)
	case "text":
		for _, f := range rep.Findings {
			if _, err := fmt.Fprintf(w, "%s\n    %s\n\n", f.What, strings.ReplaceAll(f.Detail, "\n", "\n    ")); err != nil {
				return err
			}
		}
		_, err := fmt.Fprintln(w, rep.Summary())
		return err
	}
	return fmt.Errorf("selftest: no format %q: want text or json", format)
}

// Run proves the suite in subtests, one for each backend. With -short it is [Quick].
func Run[T conformance.TB[T]](t T, opts ...Option) {
	t.Helper()
	var s settings
	for _, o := range opts {
		o(&s)
	}
	rep := &Report{Suite: conformance.Version}
	start := time.Now()
	rep.unproven()
	for _, f := range rep.Findings {
		t.Errorf("%s: %s", f.What, f.Detail)
	}
	for _, trial := range s.trials() {
		t.Run(trial.what, func(t T) {
			wrong, err := trial.try(t.Context())
			if err != nil {
				t.Fatalf("%v", err)
			}
			rep.add(trial, wrong)
			for _, w := range wrong {
				t.Errorf("%s", w)
			}
		})
	}
	rep.Took = time.Since(start)
	t.Logf("%s", rep.Summary())
}

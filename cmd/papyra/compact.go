package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
)

const compactLong = `compact takes away for good what a policy does not keep, and gives the room back. It
shows first what would go, and asks. Without a policy nothing goes but what was cut before:
the files are put in order, and nothing is asked.

  --max-records, --max-age, --max-bytes   bounds of each stream; each may be given once for
                                          all streams and once for each kind of them:
                                          event, lifecycle, audit, deadletter

  papyra compact --max-age 30d                                   old records of all streams
  papyra compact --max-records event=100 --max-age audit=52w     by the kind of stream

All bounds are kept, as far as they may be: of a stream of events only what its newest
snapshot covers can go, so that a stream without one keeps everything. What is left reads as
before; versions and positions are never given again. --dry-run says what would go, and
changes nothing, also beside a process that holds the store. Without a terminal --yes is
needed for a policy that takes something.

A damaged store is refused: mend it first (papyra scan says how). The store must not be
open elsewhere. An interrupt, or a crash, leaves a whole store, in which each stream has its
old beginning or the new one: run it again.

Exit codes: 0 done, or nothing to do; 1 it failed; 2 the store is damaged; 3 missing, locked
or not reachable; 64 wrong usage; 130 interrupted.`

// maxFloorsTold is how many floors a document holds; those beyond are counted.
const maxFloorsTold = backend.MaxFindings

// compactShape is what compact says.
type compactShape struct {
	header
	DryRun  bool        `json:"dry_run"`
	Done    bool        `json:"done"`
	Streams int         `json:"streams"` // that lose something
	Cut     uint64      `json:"cut"`     // records, snapshots not counted, that go from these
	Floors  []floorMove `json:"floors"`  // at most maxFloorsTold
	Before  *sizes      `json:"before,omitempty"`
	After   *sizes      `json:"after,omitempty"`
	TookNS  int64       `json:"took_ns"`
	Error   *errorShape `json:"error,omitempty"`
}

// floorMove is a stream that begins later than before.
type floorMove struct {
	Stream string          `json:"stream"`
	From   backend.Version `json:"from"` // its oldest version before
	To     backend.Version `json:"to"`   // and after
}

// sizes are how much a store holds, in records of every kind and in bytes of its files.
type sizes struct {
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
}

// compacting is one run of the command.
type compacting struct {
	*app
	policy policyFlags
	dryRun bool
	ask    asking
	place  place
	cut    backend.Cut
	done   compactShape
}

func (a *app) compactCommand() *cobra.Command {
	x := &compacting{app: a}
	c := &cobra.Command{
		Use:     "compact",
		Short:   "Take away what a policy does not keep, and give the room back; asks first",
		Long:    compactLong,
		Example: "  papyra compact --store file:///var/lib/app\n  papyra compact --store file:///var/lib/app --max-age 30d --dry-run\n  papyra compact --max-records event=100 --max-records lifecycle=10 --yes",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			x.ask.in = c.InOrStdin()
			return x.run(c.Context())
		},
	}
	x.policy.add(c)
	c.Flags().BoolVar(&x.dryRun, "dry-run", false, "say what would go, and change nothing")
	c.Flags().BoolVar(&x.ask.yes, "yes", false, "do not ask")
	return c
}

func (x *compacting) run(ctx context.Context) (err error) {
	retention, err := x.policy.retention()
	if err != nil {
		return err
	}
	if x.place, err = x.app.place(); err != nil {
		return err
	}
	if !x.dryRun {
		if len(retention) > 0 {
			if err := x.check(x.ask, "--dry-run"); err != nil {
				return err
			}
		}
		if err := x.place.held(); err != nil {
			return err
		}
	}
	if err := x.plan(ctx, retention); err != nil {
		return err
	}
	if x.format == formatText {
		x.printPlan()
	}
	switch {
	case x.dryRun:
		return x.finish(nil)
	case len(x.cut.Floors) > 0:
		agreed, err := x.agreed(ctx, x.ask, "\ntake this away for good?")
		if err != nil {
			return err
		}
		if !agreed {
			_, err := fmt.Fprintln(x.out, "nothing was changed")
			return err
		}
	}
	return x.finish(x.carryOut(ctx))
}

// plan makes the cut, by a handle that can change nothing, of a store in which nothing is
// wrong.
func (x *compacting) plan(ctx context.Context, retention backend.Retention) error {
	b, err := x.place.open(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	x.done = compactShape{header: headerOf("papyra.compact/1", x.place, b), DryRun: x.dryRun, Floors: []floorMove{}}
	if !b.Capabilities().Compact {
		return fmt.Errorf("%w: engine %s does not compact", backend.ErrUnsupported, b.Engine())
	}
	report, err := b.Scan(ctx, &backend.ScanOptions{Quick: true})
	if err != nil {
		return err
	}
	if !report.Clean() {
		return &hinted{fmt.Sprintf("mend it first: papyra scan --store %s says how", shellWord(x.place.String())),
			fmt.Errorf("%w: a damaged store is not compacted: %s", backend.ErrCorrupt, tally(report))}
	}
	if x.cut, err = b.PlanCut(ctx, retention); err != nil {
		return x.refused(err)
	}
	x.done.Streams = len(x.cut.Floors)
	for _, f := range x.cut.Floors {
		h, err := b.Head(ctx, f.Stream)
		if err != nil {
			return x.refused(err)
		}
		from := max(h.Floor, 1)
		x.done.Cut += uint64(f.Floor - from)
		if len(x.done.Floors) < maxFloorsTold {
			x.done.Floors = append(x.done.Floors, floorMove{f.Stream, from, f.Floor})
		}
	}
	return nil
}

// refused adds to an error of damage, which a quick check need not see, what to do.
func (x *compacting) refused(err error) error {
	if errors.Is(err, backend.ErrCorrupt) {
		return &hinted{fmt.Sprintf("no record is lost by this; mend the store first: papyra scan --store %s says how", shellWord(x.place.String())), err}
	}
	return err
}

// carryOut compacts.
func (x *compacting) carryOut(ctx context.Context) error {
	b, err := x.place.openToChange(ctx)
	if err != nil {
		return err
	}
	report, err := b.Compact(ctx, x.cut)
	if closeErr := b.Close(); err == nil {
		err = closeErr
	}
	if report != nil {
		x.done.Before = &sizes{report.RecordsBefore, report.BytesBefore}
		x.done.After = &sizes{report.RecordsAfter, report.BytesAfter}
		x.done.TookNS = report.Took.Nanoseconds()
	}
	x.done.Done = err == nil
	return x.refused(err)
}

// finish prints what came of it.
func (x *compacting) finish(failed error) error {
	x.done.Error = shapeOf(failed)
	var err error
	switch {
	case x.format == formatJSON:
		err = x.document(&x.done)
	case x.done.Before != nil:
		err = x.printDone()
	}
	if err != nil {
		return err
	}
	return failed
}

func (x *compacting) printPlan() {
	d := &x.done
	if d.Streams == 0 {
		fmt.Fprintf(x.out, "%s: nothing is to be cut\n", d.Place)
		return
	}
	fmt.Fprintf(x.out, "%s: %s of %s go, and the snapshots that are older than what is left\n", d.Place, count(int(d.Cut), "record"), count(d.Streams, "stream"))
	x.list("begins later", len(d.Floors), func(i int) string {
		f := d.Floors[i]
		return fmt.Sprintf("%s: at version %d, before at %d", show(f.Stream), f.To, f.From)
	})
}

func (x *compacting) printDone() error {
	d := &x.done
	word := "compacted"
	if !d.Done {
		word = "not finished"
	}
	_, err := fmt.Fprintf(x.out, "%s: %s: %s before, %s after; %s before, %s after\n", d.Place, word,
		count(int(d.Before.Records), "record"), count(int(d.After.Records), "record"), bytesText(uint64(d.Before.Bytes)), bytesText(uint64(d.After.Bytes)))
	return err
}

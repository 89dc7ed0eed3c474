package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
)

const recoverLong = `recover does something about what a scan has found. It looks first and shows what it
is going to do; then it asks, does it, and says what remains.

  --mode ignore      changes nothing: it says what is there
  --mode repair      (default) loses nothing: cuts a torn tail, which was never acknowledged,
                     and makes again what can be derived. Lost records it leaves as they are
  --mode quarantine  repairs, and gives up what can't be read: it sets the damaged bytes
                     aside, keeps every other record, and marks the places

Every byte that is cut, mended or given up is saved first: see papyra quarantine. --dry-run
only looks, and leaves every byte as it is, also beside a process that holds the store; what
that is writing just then may show as a torn tail. Without a terminal --yes is needed. The
store must not be open elsewhere. An interrupt, or a crash, leaves a store that can be
recovered again: run it again.

Exit codes: 0 the store is clean; 1 it failed, or can't be done here; 2 anomalies remain, or
a dry run has found some; 3 missing, locked or not reachable; 64 wrong usage; 130
interrupted.`

// recoverShape is what recover says. After a dry run, or if nobody agreed, Actions is what
// would be done.
type recoverShape struct {
	header
	Mode    backend.RecoveryMode `json:"mode"`
	DryRun  bool                 `json:"dry_run"`
	Clean   bool                 `json:"clean"` // as far as is known: after what was done
	Before  *backend.ScanReport  `json:"before"`
	Actions []recoverAction      `json:"actions"`
	Saved   []quarantined        `json:"saved"`           // files that were not in quarantine before
	After   *backend.ScanReport  `json:"after,omitempty"` // not after a dry run
	Advice  []string             `json:"advice"`
	Error   *errorShape          `json:"error,omitempty"`
}

// recoverAction is one step, and who took it.
type recoverAction struct {
	backend.RecoveryAction
	Opening bool `json:"by_opening,omitempty"` // it was planned, and opening the store had done it already
}

// recovering is one run of the command.
type recovering struct {
	*app
	mode     backend.RecoveryMode
	modeName string
	dryRun   bool
	dir      string // --quarantine-dir
	ask      asking
	place    place
	seen     bool // a quick check finds something too
	done     recoverShape
}

func (a *app) recoverCommand() *cobra.Command {
	r := &recovering{app: a}
	c := &cobra.Command{
		Use:     "recover",
		Short:   "Mend a store, or give up what can't be read; asks first",
		Long:    recoverLong,
		Example: "  papyra recover --store file:///var/lib/app --dry-run\n  papyra recover --store file:///var/lib/app\n  papyra recover --store file:///var/lib/app --mode quarantine --yes",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			r.ask.in = c.InOrStdin()
			return r.run(c.Context())
		},
	}
	c.Flags().StringVar(&r.modeName, "mode", backend.Repair.String(), "ignore, repair or quarantine")
	c.Flags().BoolVar(&r.dryRun, "dry-run", false, "say what would be done, and change nothing")
	c.Flags().StringVar(&r.dir, "quarantine-dir", "", "save damaged bytes in this `directory` instead of inside the store")
	c.Flags().BoolVar(&r.ask.yes, "yes", false, "do not ask")
	return c
}

func (r *recovering) run(ctx context.Context) error {
	if err := r.check(); err != nil {
		return err
	}
	engine, plan, err := r.plan(ctx)
	if err != nil {
		return err
	}
	r.done = recoverShape{
		header: header{"papyra.recover/1", r.place.String(), engine}, Mode: r.mode, DryRun: r.dryRun,
		Before: plan.Before, After: plan.After, Actions: []recoverAction{}, Saved: []quarantined{},
	}
	r.tell(plan.Actions, nil)
	if r.dryRun || len(plan.Actions) == 0 { // nothing to agree to
		if r.format == formatText {
			r.printPlan(plan)
		}
		return r.finish(ctx, plan.Before, nil)
	}
	if r.format == formatText {
		r.printPlan(plan)
	}
	agreed, err := r.agreed(ctx, r.ask, "\ndo this?")
	if err != nil {
		return err
	}
	if !agreed {
		fmt.Fprintln(r.out, "nothing was changed")
		return r.finish(ctx, plan.Before, nil)
	}
	return r.carryOut(ctx, plan)
}

// check refuses what can't be right before anything is opened.
func (r *recovering) check() (err error) {
	if r.mode, err = recoveryMode(r.modeName); err != nil {
		return err
	}
	if r.place, err = r.app.place(); err != nil {
		return err
	}
	if r.dir != "" {
		if r.dir, err = quarantineTarget(r.dir, r.place.dir()); err != nil {
			return err
		}
	}
	if r.dryRun || r.mode == backend.Ignore {
		return nil
	}
	if err := r.app.check(r.ask, "--dry-run"); err != nil {
		return err
	}
	return r.place.held() // before a long scan, not after it
}

// recoveryMode is the mode of that name.
func recoveryMode(name string) (backend.RecoveryMode, error) {
	for m := backend.Ignore; m <= backend.Quarantine; m++ {
		if m.String() == name {
			return m, nil
		}
	}
	return 0, usagef("--mode %s: want ignore, repair or quarantine", value(name))
}

// quarantineTarget is the directory that damaged bytes go to: there, and outside the store.
func quarantineTarget(dir, store string) (string, error) {
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return "", usagef("--quarantine-dir %s: %w", value(dir), reason(err))
	case !info.IsDir():
		return "", usagef("--quarantine-dir %s is no directory", value(dir))
	}
	if dir, err = filepath.EvalSymlinks(dir); err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return "", usagef("--quarantine-dir %s: %w", value(dir), reason(err))
	}
	if inside(filepath.Join(dir, "x"), store) {
		return "", usagef("--quarantine-dir %s lies inside the store: leave it out (the store has a quarantine of its own), or give a place outside", value(dir))
	}
	return dir, nil
}

// plan looks, by a handle that can change nothing.
func (r *recovering) plan(ctx context.Context) (engine string, plan *backend.RecoveryReport, err error) {
	b, err := r.place.open(ctx)
	if err != nil {
		return "", nil, err
	}
	defer b.Close()
	progress := r.progress("looking", "bytes")
	defer progress.end()
	plan, err = b.Recover(ctx, backend.RecoveryOptions{Mode: r.mode, DryRun: r.mode != backend.Ignore, Progress: progress.set})
	if err == nil && !plan.Before.Clean() {
		r.seen = seenAtStart(ctx, b)
	}
	return b.Engine(), plan, err
}

// carryOut recovers, and says what was done and what remains.
func (r *recovering) carryOut(ctx context.Context, plan *backend.RecoveryReport) (err error) {
	before := r.quarantine()
	b, err := r.place.openToChange(ctx)
	if err != nil {
		return err
	}
	progress := r.progress("recovering", "bytes")
	report, err := b.Recover(ctx, backend.RecoveryOptions{Mode: r.mode, QuarantineDir: r.dir, Progress: progress.set})
	progress.end()
	if err == nil && !report.After.Clean() {
		r.seen = seenAtStart(ctx, b)
	}
	if closeErr := b.Close(); err == nil {
		err = closeErr
	}
	if report == nil {
		return err
	}
	planned := plan.Actions
	if err != nil {
		planned = nil // what is not among the actions was perhaps not done at all
	}
	r.tell(report.Actions, planned)
	r.done.After = report.After
	r.done.Saved = newIn(r.quarantine(), before)
	if r.format == formatText {
		r.printDone()
	}
	after := report.After
	if after == nil {
		after = report.Before
	}
	return r.finish(ctx, after, err)
}

// tell notes the actions; those that were planned and are not among them were done by
// opening the store, which cuts a torn tail and removes what a crash left.
func (r *recovering) tell(actions, planned []backend.RecoveryAction) {
	r.done.Actions = []recoverAction{}
	done := map[string]bool{}
	for _, act := range actions {
		done[act.Action+" "+act.File] = true
	}
	for _, act := range planned {
		if !done[act.Action+" "+act.File] {
			r.done.Actions = append(r.done.Actions, recoverAction{r.placed(act), true})
		}
	}
	for _, act := range actions {
		r.done.Actions = append(r.done.Actions, recoverAction{r.placed(act), false})
	}
}

// placed is an action with the directory that bytes are saved in as it was asked for.
func (r *recovering) placed(act backend.RecoveryAction) backend.RecoveryAction {
	if r.dir != "" && (act.Saved == quarantineDir || act.Saved == ".") {
		act.Saved = printable(r.dir)
	}
	act.Detail, act.File = printable(act.Detail), printable(act.File)
	return act
}

// quarantine lists what lies in quarantine: the store's own, and --quarantine-dir.
func (r *recovering) quarantine() []quarantined {
	var list []quarantined
	if dir := r.place.dir(); dir != "" {
		own, _ := quarantineFiles(filepath.Join(dir, quarantineDir)) // what can't be listed is not told of
		for _, q := range own {
			list = append(list, quarantined{quarantineDir + "/" + q.File, q.Bytes})
		}
	}
	if r.dir != "" {
		other, _ := quarantineFiles(r.dir)
		for _, q := range other {
			q.File = printable(filepath.Join(r.dir, q.File))
			list = append(list, q)
		}
	}
	return list
}

// newIn are the files that were not there before.
func newIn(now, before []quarantined) []quarantined {
	known := map[quarantined]bool{}
	for _, q := range before {
		known[q] = true
	}
	list := []quarantined{}
	for _, q := range now {
		if !known[q] {
			list = append(list, q)
		}
	}
	return list
}

// finish says what remains. state is the store's as far as it is known.
func (r *recovering) finish(ctx context.Context, state *backend.ScanReport, failed error) error {
	clean := failed == nil && state.Clean()
	r.done.Clean = clean
	var advice []string
	if failed == nil && !clean {
		advice = whatToDo(r.place, state, r.seen, true)
		do := fmt.Sprintf("papyra recover --store %s", shellWord(r.place.String()))
		if r.dryRun && r.mode == backend.Repair && len(r.done.Actions) > 0 && !slices.ContainsFunc(advice, func(line string) bool { return strings.HasSuffix(line, do) }) {
			advice = append(advice, "to do what is listed here, and no more: "+do)
		}
	}
	r.done.Advice, r.done.Error = safe(advice), shapeOf(failed)
	var err error
	if r.format == formatJSON {
		err = r.document(r.done)
	} else {
		err = r.printVerdict(state, failed)
	}
	switch {
	case err != nil:
		return err
	case failed != nil:
		return failed
	case !clean:
		return &coded{exitAnomalies, errReported}
	}
	return ctx.Err()
}

package backend

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// RecoveryOptions say how to recover.
type RecoveryOptions struct {
	// Mode says what may be done; the zero Mode is [Ignore].
	Mode RecoveryMode
	// DryRun reports the steps that would be taken, and takes none.
	DryRun bool
	// QuarantineDir is where damaged bytes go. Default: inside the store.
	QuarantineDir string
	// Progress is told how far the scans before and after are, each from its beginning: see
	// [ScanOptions.Progress].
	Progress func(done, total int64)
}

// Recover scans the store, does what the mode allows about what was found, and
// scans again. It is alone with the store: calls inside are waited for, calls that
// arrive meanwhile wait. Running it twice is running it once; a crash inside loses
// nothing, and the next recovery comes to the same end. Its own scans are not
// counted as scans. A mode that the engine does not claim is [ErrUnsupported], as
// is any but Ignore and dry runs on a read-only handle; after a Reopen that failed these are
// [ErrPoisoned].
func (b *Backend) Recover(ctx context.Context, opts RecoveryOptions) (report *RecoveryReport, err error) {
	ctx, done := b.observe(ctx, Call{Op: OpRecover})
	defer func() {
		if err == nil {
			b.opts.Counters.RecoverCount.Add(1)
		} else {
			b.opts.Counters.RecoverErrors.Add(1)
			err = b.wrap(ctx, OpRecover, "", err)
		}
		done(err)
	}()
	if err := b.usable(ctx); err != nil {
		return nil, err
	}
	if err := b.mayRecover(opts); err != nil {
		return nil, err
	}
	b.alone.Lock()
	defer b.alone.Unlock()
	if err := b.gate.shut(ctx); err != nil {
		return nil, err
	}
	defer b.gate.open()
	if b.reads && opts.Mode != Ignore && !opts.DryRun { // somebody else may be writing
		return nil, fmt.Errorf("%w: the store could not be opened for writing again: call Reopen", ErrPoisoned)
	}
	return b.recover(ctx, opts)
}

func (b *Backend) mayRecover(opts RecoveryOptions) error {
	c := b.info.Capabilities
	switch {
	case opts.Mode > Quarantine:
		return fmt.Errorf("%w: recovery mode %d", ErrInvalid, opts.Mode)
	case opts.Mode == Repair && !c.Repair, opts.Mode == Quarantine && !c.Quarantine:
		return fmt.Errorf("%w: engine %s does not recover with mode %v", ErrUnsupported, b.info.Engine, opts.Mode)
	case b.opts.ReadOnly && opts.Mode != Ignore && !opts.DryRun:
		return fmt.Errorf("%w: the backend was opened read-only: mode %v needs to write", ErrUnsupported, opts.Mode)
	}
	return nil
}

// recover does the work, alone with the driver.
func (b *Backend) recover(ctx context.Context, opts RecoveryOptions) (*RecoveryReport, error) {
	start := time.Now()
	report := &RecoveryReport{Mode: opts.Mode, DryRun: opts.DryRun, Actions: []RecoveryAction{}}
	defer func() { report.Took = time.Since(start) }()
	plan := ScanPlan{Depth: Full, Progress: opts.Progress}
	var err error
	if report.Before, err = b.scan(ctx, plan); err != nil {
		return report, err
	}
	if opts.Mode != Ignore {
		stats, err := b.driver.Recover(ctx, RecoveryPlan{
			Mode: opts.Mode, DryRun: opts.DryRun, QuarantineDir: opts.QuarantineDir, Anomalies: report.Before.Anomalies,
		})
		report.Actions = append(report.Actions, stats.Actions...)
		if errors.Is(err, ErrPoisoned) {
			b.setPoison(fmt.Errorf("%w: a recovery failed (call Reopen): %v", ErrPoisoned, err))
		}
		if err != nil {
			return report, err
		}
	}
	if opts.DryRun {
		return report, nil
	}
	if opts.Mode == Ignore {
		report.After = report.Before
		return report, nil
	}
	report.After, err = b.scan(ctx, plan)
	return report, err
}

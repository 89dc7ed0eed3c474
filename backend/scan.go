package backend

import (
	"context"
	"time"
)

// ScanOptions say how to scan. Nil stands for the zero value: a full scan.
type ScanOptions struct {
	// Quick checks only what a start relies on: see [ScanDepth].
	Quick bool
	// Progress, if not nil, is told now and then how many of how many units (bytes,
	// mostly) are done. Neither figure falls. A full scan that comes to its end has told
	// last that all is done; of an empty store, and where it is quick, it may tell nothing.
	// One call at a time is made of it, and none once Scan has returned.
	Progress func(done, total int64)
}

// Scan checks the integrity of the store and reports what is wrong. It changes
// nothing, runs beside everything else, and goes on after each finding. An error
// means that the scan could not be carried through; the report then holds what was
// found until then.
func (b *Backend) Scan(ctx context.Context, opts *ScanOptions) (*ScanReport, error) {
	ctx, done := b.observe(ctx, Call{Op: OpScan})
	if opts == nil {
		opts = new(ScanOptions)
	}
	plan := ScanPlan{Depth: Full, Progress: opts.Progress}
	if opts.Quick {
		plan.Depth = Quick
	}
	var report *ScanReport
	err := b.call(ctx, func() (err error) {
		report, err = b.scan(ctx, plan)
		return err
	})
	b.countScan(report, err)
	err = b.wrap(ctx, OpScan, "", err)
	done(err)
	return report, err
}

func (b *Backend) countScan(report *ScanReport, err error) {
	if err != nil {
		b.opts.Counters.ScanErrors.Add(1)
	} else {
		b.opts.Counters.ScanCount.Add(1)
	}
	if report != nil {
		b.opts.Counters.ScanAnomalies.Add(uint64(report.Warnings + report.Damages))
	}
}

// scan runs the driver's scan, uncounted. The driver is held by the caller.
func (b *Backend) scan(ctx context.Context, plan ScanPlan) (*ScanReport, error) {
	report := &ScanReport{Full: plan.Depth == Full, Anomalies: []Anomaly{}}
	start := time.Now()
	defer func() { report.Took = time.Since(start) }()
	for a, err := range b.driver.Scan(ctx, plan) {
		if err != nil {
			return report, err
		}
		report.add(a)
	}
	return report, nil
}

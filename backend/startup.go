package backend

import (
	"context"
	"fmt"
	"time"
)

// StartupMode says what a start does about damage.
type StartupMode uint8

const (
	// FailOnAnomaly checks, and refuses a store in which anything is wrong: damages and
	// warnings, not notices.
	FailOnAnomaly StartupMode = iota
	// IgnoreAnomalies does not check.
	IgnoreAnomalies
	// ScanOnly checks and goes on; the report says what is wrong.
	ScanOnly
	// RecoverAnomalies checks, recovers if anything is wrong, checks again, and
	// refuses what is still wrong then.
	RecoverAnomalies
)

var startupNames = [...]string{"fail-on-anomaly", "ignore", "scan-only", "recover"}

// String returns "fail-on-anomaly", "ignore", "scan-only" or "recover".
func (m StartupMode) String() string {
	if int(m) < len(startupNames) {
		return startupNames[m]
	}
	return fmt.Sprintf("startup-mode(%d)", uint8(m))
}

// ParseStartupMode is the inverse of [StartupMode.String].
func ParseStartupMode(name string) (StartupMode, error) {
	for m, n := range startupNames {
		if n == name {
			return StartupMode(m), nil
		}
	}
	return 0, fmt.Errorf("%w: startup mode %q: want fail-on-anomaly, ignore, scan-only or recover", ErrInvalid, name)
}

// Startup is the check before a store is used. The zero value is the default: a
// quick check that refuses a store in which anything is wrong, if only a derivable
// file. A torn tail and a file that is not the store's are notices: nothing is wrong.
// RecoverAnomalies mends what can be mended without loss.
type Startup struct {
	Mode StartupMode
	// Full reads the whole store instead of what a start relies on.
	Full bool
	// Timeout bounds check and recovery together. Zero: no bound but the context's.
	Timeout time.Duration
	// Recovery is how RecoverAnomalies recovers: Repair (the default) or Quarantine.
	Recovery RecoveryMode
}

func (s Startup) check() error {
	switch {
	case int(s.Mode) >= len(startupNames):
		return fmt.Errorf("%w: Startup.Mode is %d", ErrInvalid, s.Mode)
	case s.Recovery > Quarantine:
		return fmt.Errorf("%w: Startup.Recovery is %d", ErrInvalid, s.Recovery)
	case s.Timeout < 0:
		return fmt.Errorf("%w: Startup.Timeout is %v: want 0 (no bound) or more", ErrInvalid, s.Timeout)
	}
	return nil
}

// StartupReport is what a startup check found and did.
type StartupReport struct {
	Mode     StartupMode
	Scan     *ScanReport     // the last check; nil if the mode is IgnoreAnomalies
	Recovery *RecoveryReport // nil if there was none
}

// StartupError says that a start was refused. It wraps [ErrCorrupt].
type StartupError struct {
	Report *StartupReport
}

func (e *StartupError) Error() string {
	s := e.Report.Scan
	msg := fmt.Sprintf("%v: the mode %v refuses a store with %d damages and %d warnings", ErrCorrupt, e.Report.Mode, s.Damages, s.Warnings)
	for _, a := range s.Anomalies {
		if a.Severity != Notice {
			msg += "; first: " + a.String()
			break
		}
	}
	return msg
}

// Unwrap returns [ErrCorrupt].
func (e *StartupError) Unwrap() error { return ErrCorrupt }

// Check runs a startup check now, as opening a backend does with
// [Options.Startup]: for whoever must know before relying on the store. A refusal
// is a [*StartupError]; the backend stays as it is. Its scans count as scans, its
// recovery as a recovery.
func (b *Backend) Check(ctx context.Context, s Startup) (*StartupReport, error) {
	report := &StartupReport{Mode: s.Mode}
	if err := s.check(); err != nil {
		return report, b.wrap(ctx, OpCheck, "", err)
	}
	if s.Mode == IgnoreAnomalies {
		return report, nil
	}
	if s.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.Timeout, fmt.Errorf("startup check: %w after %v", context.DeadlineExceeded, s.Timeout))
		defer cancel()
	}
	scan, err := b.Scan(ctx, &ScanOptions{Quick: !s.Full})
	report.Scan = scan
	if err != nil || scan.Clean() || s.Mode == ScanOnly {
		return report, err
	}
	if s.Mode == RecoverAnomalies {
		if report.Recovery, err = b.Recover(ctx, RecoveryOptions{Mode: max(s.Recovery, Repair)}); err != nil {
			return report, err
		}
		if report.Scan = report.Recovery.After; report.Scan.Clean() {
			return report, nil
		}
	}
	return report, b.wrap(ctx, OpCheck, "", &StartupError{report})
}

package main

import (
	"context"
	"errors"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// unopened is what the engine can say of a store in a directory that does not open. It is no
// scan.
func unopened(ctx context.Context, p place, full bool) (*backend.ScanReport, error) {
	start := time.Now()
	list, err := p.directory().Unopened(ctx, p.dir(), full)
	r := &backend.ScanReport{Anomalies: append([]backend.Anomaly{}, list...), Took: time.Since(start)}
	for i := range list {
		switch list[i].Severity {
		case backend.Notice:
			r.Notices++
		default:
			r.Damages++
		}
	}
	return r, err
}

// scanUnopened tells what can be told of a store that does not open, and hands on why.
func (a *app) scanUnopened(ctx context.Context, p place, quick bool, why error) error {
	opening := (*openError)(nil)
	if word, _ := outcome(why); word != "corrupt" || !errors.As(why, &opening) || p.dir() == "" {
		return why
	}
	report, err := unopened(ctx, p, !quick)
	if err != nil {
		return errors.Join(why, err)
	}
	if err := a.printScan(header{"papyra.scan/1", p.String(), p.url.Scheme}, report, nil, why); err != nil {
		return err
	}
	return why
}

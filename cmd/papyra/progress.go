package main

import (
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows on standard error how far a long command is, if someone is there
// to see it: standard error is a terminal and --no-progress was not given.
type progress struct {
	bar  *progressbar.ProgressBar // nil: nobody looks
	make func() *progressbar.ProgressBar
	done int64
}

// progress begins to show; unit is "bytes", or "" for plain numbers.
func (a *app) progress(what, unit string) *progress {
	if a.noProgress || !isTerminal(a.err) {
		return new(progress)
	}
	bar := func() *progressbar.ProgressBar {
		return progressbar.NewOptions64(-1,
			progressbar.OptionSetWriter(a.err),
			progressbar.OptionSetDescription(what),
			progressbar.OptionShowBytes(unit == "bytes"),
			progressbar.OptionShowCount(),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
		)
	}
	return &progress{bar: bar(), make: bar}
}

// set says how many of how many units are done.
func (p *progress) set(done, total int64) {
	if p.bar == nil {
		return
	}
	if p.bar.GetMax64() != total {
		p.bar.ChangeMax64(total)
	}
	if done < p.done { // it begins anew
		_ = p.bar.Finish()
		p.bar = p.make()
	}
	p.done = done
	_ = p.bar.Set64(done) // a bar that can't be drawn is no reason to stop
}

// hide takes the bar away until it is set again: a line is about to be written.
func (p *progress) hide() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}

// end takes the bar away; also twice, and if it never was there.
func (p *progress) end() {
	if p == nil {
		return
	}
	if p.bar != nil {
		_ = p.bar.Finish()
	}
	p.bar = nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/papyra-go/papyra/backend"
)

// leftOut is what an export has left out so far. Positions side by side that are lost
// for one reason are told in one line.
type leftOut struct {
	err       io.Writer // where it is told
	positions uint64
	open      bool // from, to and why wait for a position that follows
	from, to  uint64
	why       string
	end       bool // what may have followed the last position is lost too
}

// around writes every record that can be read. Where a read meets damage, it goes on
// position by position until one can be read: nothing says how far damage reaches, and
// a step that is any larger could pass over a record that is whole.
func (x *exporter) around(ctx context.Context, b *backend.Backend) error {
	x.left.err = x.app.err
	q := x.query
	q.From = max(q.From, 1)
	end := uint64(x.last)
	if q.To > 0 {
		end = min(end, q.To)
	}
	for step := false; q.From <= end; {
		one := q
		if one.To = end; step {
			one.To = q.From
		}
		err := x.read(ctx, b, &one)
		wrote := one.From > q.From
		switch {
		case err == nil:
			q.From, step = one.To+1, false
		case !errors.Is(err, backend.ErrCorrupt):
			return x.stopped(err)
		case one.From > end:
			x.progress.end() // its line would run into ours
			x.left.tail(end, err)
			q.From = one.From
		case wrote || !step:
			q.From, step = one.From, !step
		default:
			x.progress.end()
			x.left.note(q.From, err)
			q.From++
		}
	}
	x.left.flush()
	return nil
}

// note adds one position.
func (l *leftOut) note(at uint64, err error) {
	why := plain(err)
	if ce := (*backend.CorruptError)(nil); errors.As(err, &ce) { // the positions are told before
		why = strings.Replace(why, fmt.Sprintf("position %d: ", ce.Position), "", 1)
	}
	if !l.open || at != l.to+1 || why != l.why {
		l.flush()
		l.open, l.from, l.why = true, at, why
	}
	l.to = at
	l.positions++
}

// tail adds what may have stood behind the store's last position.
func (l *leftOut) tail(last uint64, err error) {
	l.flush()
	l.end = true
	fmt.Fprintf(l.err, "papyra: left out what may have followed position %d: %s\n", last, printable(plain(err)))
}

// flush tells what waits to be told.
func (l *leftOut) flush() {
	if !l.open {
		return
	}
	places := fmt.Sprintf("position %d", l.from)
	if l.to > l.from {
		places = fmt.Sprintf("positions %d to %d", l.from, l.to)
	}
	fmt.Fprintf(l.err, "papyra: left out %s: %s\n", places, printable(l.why))
	l.open = false
}

// verdict is the error of an export that is written and not whole; nil if it is.
func (l *leftOut) verdict() error {
	switch {
	case l.positions > 0:
		return &coded{exitAnomalies, fmt.Errorf("%s left out because of damage; what was written is good", count(int(l.positions), "position"))}
	case l.end:
		return &coded{exitAnomalies, errors.New("the end of the store was left out because of damage; what was written is good")}
	}
	return nil
}

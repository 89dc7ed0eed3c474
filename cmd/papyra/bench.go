package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/internal/chart"
	"github.com/papyra-go/papyra/internal/storebench"
)

const benchLong = `bench measures stores on this machine: durable appends by many writers, replay of the
whole store, and reads of single streams. The places are scratch: each must be empty or
missing, what is made there is removed at the end, and a place that holds anything is
refused. Several --store are measured in turns, so that a disk that is slow for a while
is slow for all; the table says how each compares with the first.

Afterwards every record whose append was acknowledged is read back and checked; a record
that is missing, or is not as it was written, makes the exit code 2.`

// benchShape is what bench says.
type benchShape struct {
	Schema   string        `json:"schema"`
	Machine  machineShape  `json:"machine"`
	Writers  int           `json:"writers"`
	Size     int           `json:"size"`
	Batch    int           `json:"batch"`
	Streams  int           `json:"streams"`
	Duration time.Duration `json:"duration_ns"`
	Rounds   int           `json:"rounds"`
	Stores   []benchStore  `json:"stores"`
	Error    *errorShape   `json:"error,omitempty"`
}

type machineShape struct {
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPUs int    `json:"cpus"`
}

type benchStore struct {
	header
	Durable  bool          `json:"durable"`
	Appends  rateShape     `json:"appends_per_second"`
	P50      time.Duration `json:"append_p50_ns"`
	P99      time.Duration `json:"append_p99_ns"`
	Replays  rateShape     `json:"replay_records_per_second"`
	Reads    rateShape     `json:"stream_reads_per_second"`
	Records  uint64        `json:"records"`
	Verified uint64        `json:"verified"`
}

type rateShape struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	Ratio  float64 `json:"ratio"` // to the first store
}

// bencher is one run of bench.
type bencher struct {
	*app
	urls []string
	work storebench.Work
	plot string
	done benchShape
}

func (a *app) benchCommand() *cobra.Command {
	x := &bencher{app: a}
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure stores on this machine",
		Long:  benchLong,
		Example: "  papyra bench --store file:///var/lib/scratch\n" +
			"  papyra bench --store file:///mnt/a/scratch --store file:///mnt/b/scratch --writers 64 --duration 30s --plot disks.svg",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return x.run(c) },
	}
	f := c.Flags()
	f.StringArrayVar(&x.urls, "store", nil, "the `URL` of a place for a scratch store; may stand several times")
	f.IntVar(&x.work.Writers, "writers", 64, "goroutines that append")
	f.IntVar(&x.work.Size, "size", 256, "bytes of an event's payload")
	f.IntVar(&x.work.Batch, "batch", 1, "events of a batch")
	f.IntVar(&x.work.Streams, "streams", 10_000, "streams that the events go to")
	f.DurationVar(&x.work.Duration, "duration", 10*time.Second, "how long to append to each store, in all")
	f.IntVar(&x.work.Rounds, "rounds", 5, "turns to do that in")
	f.StringVar(&x.plot, "plot", "", "draw the rates into this SVG `file`")
	return c
}

func (x *bencher) run(c *cobra.Command) (err error) {
	places, err := x.check()
	if err != nil {
		return err
	}
	plot := ""
	if x.plot != "" {
		if plot, err = outputPath(x.plot, ""); err != nil {
			return usagef("%s", strings.Replace(err.Error(), "--out", "--plot", 1))
		}
	}
	w := &x.work
	x.done = benchShape{Schema: "papyra.bench/1", Machine: machineShape{runtime.GOOS, runtime.GOARCH, runtime.NumCPU()},
		Writers: w.Writers, Size: w.Size, Batch: w.Batch, Streams: w.Streams, Duration: w.Duration, Rounds: w.Rounds, Stores: []benchStore{}}
	w.Reads = 2000
	stores, err := x.measure(c.Context(), places)
	if err != nil && len(stores) == 0 {
		return err
	}
	x.done.Error = shapeOf(err)
	for _, s := range stores {
		x.done.Stores = append(x.done.Stores, *s)
	}
	x.ratios()
	if printErr := x.print(); err == nil {
		err = printErr
	}
	if err == nil && plot != "" {
		err = replaceFile(plot, x.draw)
	}
	return err
}

// check checks the flags and the places.
func (x *bencher) check() (places []place, err error) {
	w := &x.work
	if len(x.urls) == 0 && x.store != "" {
		x.urls = []string{x.store}
	}
	for _, f := range []struct {
		name             string
		got, least, most int
	}{
		{"writers", w.Writers, 1, 100_000},
		{"size", w.Size, storebench.LeastSize, backend.DefaultMaxRecordBytes - 4096},
		{"batch", w.Batch, 1, backend.MaxBatchCount},
		{"streams", w.Streams, 1, 100_000_000},
		{"rounds", w.Rounds, 1, 1000},
		{"size times --batch", w.Size * w.Batch, 0, backend.DefaultMaxBatchBytes / 2},
		{"size times --batch times --writers", w.Size * w.Batch * w.Writers, 0, 1 << 30},
	} {
		if f.got < f.least || f.got > f.most {
			return nil, usagef("--%s %d: want %d to %d", f.name, f.got, f.least, f.most)
		}
	}
	if w.Duration < time.Duration(w.Rounds)*time.Millisecond {
		return nil, usagef("--duration %v: want at least a millisecond for each of %d rounds", w.Duration, w.Rounds)
	}
	if len(x.urls) == 0 {
		x.urls = []string{""}
	}
	seen := map[string]bool{}
	for _, u := range x.urls {
		p, err := x.placeOf(u, "--store")
		if err != nil {
			return nil, err
		}
		if seen[p.String()] && p.dir() != "" {
			return nil, usagef("--store %s stands twice", p)
		}
		seen[p.String()] = true
		if p.dir() != "" && !p.vacant() {
			return nil, usagef("--store %s: something is there already, and bench removes what it has made: give a place that is empty", p)
		}
		places = append(places, p)
	}
	return places, nil
}

// measure opens scratch stores, measures them, and removes them.
func (x *bencher) measure(ctx context.Context, places []place) (found []*benchStore, err error) {
	var stores []*storebench.Store
	made := 0 // places in which something may have been made
	defer func() {
		for _, s := range stores {
			if closeErr := s.B.Close(); err == nil {
				err = closeErr
			}
		}
		for _, p := range places[:made] {
			if removeErr := p.removeScratch(); err == nil {
				err = removeErr
			}
		}
	}()
	for _, p := range places {
		made++
		b, err := p.openScratch(ctx)
		if err != nil {
			return nil, err
		}
		stores = append(stores, &storebench.Store{Name: p.String(), B: b})
	}
	bar := x.progress("measuring", "")
	defer func() { bar.end() }()
	err = storebench.Run(ctx, x.work, stores, func(what string, done, total time.Duration) {
		bar.set(done.Milliseconds(), total.Milliseconds())
	})
	if errors.Is(err, storebench.ErrLost) {
		err = &coded{exitAnomalies, err}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, errInterrupted) {
		return nil, err
	}
	for i, s := range stores {
		found = append(found, &benchStore{
			header: headerOf("papyra.bench-store/1", places[i], s.B), Durable: s.B.Capabilities().Durable,
			Appends: rateOf(s.Appends), P50: s.P50, P99: s.P99, Replays: rateOf(s.Replays), Reads: rateOf(s.Reads),
			Records: s.Records, Verified: s.Verified,
		})
	}
	return found, err
}

// benchScratch is the directory that bench makes in a place of its own.
const benchScratch = "papyra-bench-scratch"

// openScratch opens a scratch store in a directory of its own, or, of an engine without
// directories, a store that must hold nothing.
func (p place) openScratch(ctx context.Context) (*backend.Backend, error) {
	u := *p.url
	if p.dir() != "" {
		u.Path, u.Opaque = path.Join(u.Path, benchScratch), joinOpaque(u.Opaque)
		if err := os.MkdirAll(p.dir(), 0o700); err != nil {
			return nil, &openError{p, reason(err)}
		}
	}
	b, err := backend.OpenWith(ctx, u.String(), nil)
	if err != nil {
		return nil, &openError{p, err}
	}
	last, err := b.Last(ctx)
	if err == nil && last > 0 {
		err = usagef("--store %s holds records, and bench writes: give a place that is empty", p)
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func joinOpaque(opaque string) string {
	if opaque == "" {
		return ""
	}
	return path.Join(opaque, url.PathEscape(benchScratch))
}

// removeScratch removes what openScratch has made, and the place if nothing else is there.
func (p place) removeScratch() error {
	if p.dir() == "" {
		return nil
	}
	err := os.RemoveAll(filepath.Join(p.dir(), benchScratch))
	_ = os.Remove(p.dir()) // only if it is empty
	return err
}

func rateOf(r storebench.Rates) rateShape {
	low, high := r.Span()
	return rateShape{Median: r.Median(), Low: low, High: high}
}

// ratios fills in how each compares with the first.
func (x *bencher) ratios() {
	for i := range x.done.Stores {
		first, s := &x.done.Stores[0], &x.done.Stores[i]
		for _, pair := range [][2]*rateShape{{&s.Appends, &first.Appends}, {&s.Replays, &first.Replays}, {&s.Reads, &first.Reads}} {
			if pair[1].Median > 0 {
				pair[0].Ratio = pair[0].Median / pair[1].Median
			}
		}
	}
}

func (x *bencher) print() error {
	d := &x.done
	if x.format == formatJSON {
		return x.document(d)
	}
	fmt.Fprintf(x.out, "%s of %d bytes, batches of %d, %s, %v in %s; %s/%s, %s\n\n", "events", d.Size, d.Batch,
		count(d.Writers, "writer"), d.Duration, count(d.Rounds, "round"), d.Machine.OS, d.Machine.Arch, count(d.Machine.CPUs, "CPU"))
	fmt.Fprintf(x.out, "%12s %6s %10s %10s %14s %6s %12s %6s  %s\n", "APPENDS/S", "", "P50", "P99", "REPLAY/S", "", "STREAMS/S", "", "STORE")
	for i := range d.Stores {
		s := &d.Stores[i]
		durable := ""
		if !s.Durable {
			durable = " (not durable)"
		}
		fmt.Fprintf(x.out, "%12s %5.2fx %10v %10v %14s %5.2fx %12s %5.2fx  %s%s\n", chart.Thousands(s.Appends.Median), s.Appends.Ratio,
			s.P50.Round(time.Microsecond), s.P99.Round(time.Microsecond), chart.Thousands(s.Replays.Median), s.Replays.Ratio,
			chart.Thousands(s.Reads.Median), s.Reads.Ratio, s.Place, durable)
	}
	var records, verified uint64
	for i := range d.Stores {
		records += d.Stores[i].Records
		verified += d.Stores[i].Verified
	}
	_, err := fmt.Fprintf(x.out, "\n%s acknowledged, %d read back as they were written\n", count(int(records), "record"), verified)
	return err
}

// draw draws the rates.
func (x *bencher) draw(w io.Writer) error {
	d := &x.done
	c := chart.Chart{
		Title: "Stores on this machine",
		Subtitle: []string{
			fmt.Sprintf("Events of %d bytes, batches of %d, %s; %s/%s, %s.", d.Size, d.Batch, count(d.Writers, "writer"), d.Machine.OS, d.Machine.Arch, count(d.Machine.CPUs, "CPU")),
			"A second. The axis is logarithmic; bars: medians; whiskers: lowest and highest round.",
		},
		Colours: map[string]string{},
	}
	palette := []string{"#d9480f", "#1f6f8b", "#6a994e", "#7b5ea7", "#9c8f7a", "#3d5a80"}
	groups := []chart.Group{{Title: "appends", Bars: map[string]chart.Bar{}}, {Title: "replay", Bars: map[string]chart.Bar{}}, {Title: "streams read", Bars: map[string]chart.Bar{}}}
	for i := range d.Stores {
		s := &d.Stores[i]
		c.Series = append(c.Series, s.Place)
		c.Colours[s.Place] = palette[i%len(palette)]
		for j, r := range []rateShape{s.Appends, s.Replays, s.Reads} {
			groups[j].Bars[s.Place] = chart.Bar{Value: r.Median, Low: r.Low, High: r.High}
		}
	}
	c.Groups = groups
	return c.Draw(w)
}

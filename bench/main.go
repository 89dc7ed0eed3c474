// Command bench measures durable appends of papyra's engines beside the raw disk
// and beside the peers, in one run, on the same work.
//
// The work: events of 256 bytes over 10,000 streams, each acknowledged only when it
// is durable. Engines are interleaved, repetition by repetition, and the table shows
// medians. The probe is the raw disk: one 4 KiB write and fdatasync after the other
// on blocks that were written before.
//
// It is a module of its own, so that the peers never reach a user's module graph.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

type settings struct {
	dir     string
	writers []int
	time    time.Duration
	reps    int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	dir := flags.String("dir", os.TempDir(), "where to put the stores: the disk that is measured")
	writers := flags.String("writers", "1,64,1024", "numbers of concurrent writers")
	each := flags.Duration("time", 2*time.Second, "how long each engine writes in each repetition")
	reps := flags.Int("reps", 5, "repetitions; the table shows medians")
	profile := flags.String("cpuprofile", "", "write a CPU profile of the whole run to this file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	s := settings{time: *each, reps: *reps}
	for _, w := range strings.Split(*writers, ",") {
		n, err := strconv.Atoi(w)
		if err != nil || n < 1 {
			return fmt.Errorf("-writers %s: want numbers above zero, such as 1,64,1024", *writers)
		}
		s.writers = append(s.writers, n)
	}
	tmp, err := os.MkdirTemp(*dir, "papyra-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	s.dir = tmp
	return measure(ctx, s)
}

// measure runs everything, interleaved, and prints the table.
func measure(ctx context.Context, s settings) error {
	fmt.Printf("%s/%s, %d processors, %v a measurement, median of %d\n\n", runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), s.time, s.reps)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "writers\tengine\tevents/s\tmin\tmax\tp50 µs\tp99 µs\tallocs/event\t× probe\t× pebble\t")
	for _, n := range s.writers {
		rates, err := interleave(ctx, s, n)
		if err != nil {
			return err
		}
		print(table, n, rates)
	}
	return table.Flush()
}

// interleave measures each engine in turn, again and again.
func interleave(ctx context.Context, s settings, writers int) (map[string][]sample, error) {
	samples := map[string][]sample{}
	for rep := range s.reps {
		p, err := probe(filepath.Join(s.dir, "probe"), s.time/2)
		if err != nil {
			return nil, err
		}
		samples["probe"] = append(samples["probe"], p)
		for _, e := range engines {
			dir := filepath.Join(s.dir, fmt.Sprintf("%s-%d-%d", e.name, writers, rep))
			got, err := e.measure(ctx, dir, writers, s.time)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", e.name, err)
			}
			samples[e.name] = append(samples[e.name], got)
			os.RemoveAll(dir)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return samples, nil
}

func print(w *tabwriter.Writer, writers int, samples map[string][]sample) {
	base, peer := median(samples["probe"]), median(samples["pebble"])
	for _, name := range append([]string{"probe"}, names()...) {
		all := samples[name]
		m := median(all)
		fmt.Fprintf(w, "%d\t%s\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.2f\t%.2f\t%.2f\t\n", writers, name, m.rate, all[0].rate, all[len(all)-1].rate,
			m.p50.Seconds()*1e6, m.p99.Seconds()*1e6, m.allocs, m.rate/base.rate, m.rate/peer.rate)
	}
}

// median sorts the samples by rate and returns the middle one.
func median(samples []sample) sample {
	slices.SortFunc(samples, func(a, b sample) int { return int(a.rate - b.rate) })
	return samples[len(samples)/2]
}

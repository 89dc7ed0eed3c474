package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
)

// policyFlags are the bounds of a retention as they stand on a command line: each "N", for
// the streams of every kind, or "KIND=N".
type policyFlags struct {
	records, age, bytes []string
}

func (f *policyFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.records, "max-records", nil, "keep the newest `[KIND=]N` records of each stream")
	c.Flags().StringArrayVar(&f.age, "max-age", nil, "keep records that are at most `[KIND=]AGE` old, such as 720h, 30d or audit=52w")
	c.Flags().StringArrayVar(&f.bytes, "max-bytes", nil, "keep the newest `[KIND=]SIZE` of each stream, such as 1048576, 64MiB or event=1GiB")
}

// retention is what the flags ask for; empty if there are none. A bound with a kind goes
// before one without, wherever it stands; 0 is no bound.
func (f *policyFlags) retention() (backend.Retention, error) {
	r := backend.Retention{}
	for _, flag := range []struct {
		name   string
		values []string
		set    func(p *backend.Policy, value string) error
	}{
		{"max-records", f.records, func(p *backend.Policy, v string) (err error) {
			p.MaxRecords, err = wholeNumber(v)
			return err
		}},
		{"max-age", f.age, func(p *backend.Policy, v string) (err error) { p.MaxAge, err = ageOf(v); return err }},
		{"max-bytes", f.bytes, func(p *backend.Policy, v string) (err error) { p.MaxBytes, err = sizeOf(v); return err }},
	} {
		if err := setAll(r, flag.name, flag.values, flag.set); err != nil {
			return nil, err
		}
	}
	for k, p := range r {
		if p == (backend.Policy{}) {
			delete(r, k)
		}
	}
	return r, nil
}

// streamKinds are the kinds that streams hold.
var streamKinds = []backend.Kind{backend.Event, backend.Lifecycle, backend.Audit, backend.DeadLetter}

// setAll puts one flag's values into a retention: first those for every kind.
func setAll(r backend.Retention, name string, values []string, set func(*backend.Policy, string) error) error {
	seen := map[string]bool{}
	for _, general := range []bool{true, false} {
		for _, v := range values {
			kind, bound, named := strings.Cut(v, "=")
			if named == general {
				continue
			}
			kinds := streamKinds
			if named {
				k, err := streamKind(kind)
				if err != nil {
					return usagef("--%s %s: %w", name, value(v), err)
				}
				kinds = []backend.Kind{k}
			} else {
				kind, bound = "", v
			}
			if seen[kind] {
				return usagef("--%s %s: it was given for that already", name, value(v))
			}
			seen[kind] = true
			for _, k := range kinds {
				p := r[k]
				if err := set(&p, bound); err != nil {
					return usagef("--%s %s: %w", name, value(v), err)
				}
				r[k] = p
			}
		}
	}
	return nil
}

func streamKind(name string) (backend.Kind, error) {
	for _, k := range streamKinds {
		if k.String() == name {
			return k, nil
		}
	}
	return 0, fmt.Errorf("%s is no kind of stream: want event, lifecycle, audit or deadletter", value(name))
}

func wholeNumber(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("want a whole number from 0 (no bound)")
	}
	return n, nil
}

// ageOf is a duration: as Go writes it, or a number of days (d) or weeks (w).
func ageOf(s string) (time.Duration, error) {
	const day = 24 * time.Hour
	units := map[byte]time.Duration{'d': day, 'w': 7 * day}
	if n := len(s); n > 1 && units[s[n-1]] > 0 {
		unit := units[s[n-1]]
		if count, err := strconv.ParseInt(s[:n-1], 10, 64); err == nil && count >= 0 && count <= int64(1<<63-1)/int64(unit) {
			return time.Duration(count) * unit, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("want an age such as 90m, 720h, 30d or 52w, or 0 (no bound)")
	}
	return d, nil
}

// sizeOf is a number of bytes, with or without a unit.
func sizeOf(s string) (int64, error) {
	units := []struct {
		name string
		size int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1}}
	for _, u := range units {
		number, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err == nil && n >= 0 && n <= (1<<63-1)/u.size {
			return n * u.size, nil
		}
		break
	}
	return 0, fmt.Errorf("want a size in bytes such as 1048576, 64MiB or 1GiB, or 0 (no bound)")
}

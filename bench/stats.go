package main

import (
	"math"
	"math/bits"
	"slices"
	"time"
)

// A sample is what one measurement gave; what it has none of is zero. Times are in
// microseconds.
type sample struct {
	Value  float64 `json:"value"` // in the unit of its row
	P50    float64 `json:"p50_us,omitempty"`
	P99    float64 `json:"p99_us,omitempty"`
	P999   float64 `json:"p999_us,omitempty"`
	Allocs float64 `json:"allocs"`                 // allocations an event, of the whole process
	Probe  float64 `json:"probe_per_s,omitempty"`  // the raw disk's flushes a second, just before and after
	Flush  float64 `json:"probe_p50_us,omitempty"` // what one of them took
	Cached float64 `json:"cached_share,omitempty"` // of the time, what reading the same files takes from the cache
	Caller float64 `json:"bytes_caller,omitempty"` // what the caller handed over
	Events float64 `json:"events,omitempty"`
	Disk   float64 `json:"bytes_on_disk,omitempty"` // what the store's files take
	Twin   float64 `json:"other_value,omitempty"`   // in rows that compare two conditions, the value under the other
}

// samples of one engine in one row, a repetition each.
type samples []sample

// median of one figure over the repetitions; NaN without any.
func (s samples) median(figure func(sample) float64) float64 {
	all := make([]float64, len(s))
	for i := range s {
		all[i] = figure(s[i])
	}
	return median(all)
}

func (s samples) value() float64 { return s.median(value) }

// span is the lowest and the highest value.
func (s samples) span() (lo, hi float64) {
	lo, hi = math.NaN(), math.NaN()
	for i := range s {
		if i == 0 {
			lo, hi = s[i].Value, s[i].Value
		}
		lo, hi = min(lo, s[i].Value), max(hi, s[i].Value)
	}
	return lo, hi
}

// The figures of a sample.
func value(s sample) float64   { return s.Value }
func p50(s sample) float64     { return s.P50 }
func p99(s sample) float64     { return s.P99 }
func p999(s sample) float64    { return s.P999 }
func allocs(s sample) float64  { return s.Allocs }
func toProbe(s sample) float64 { return s.Value / s.Probe }
func twin(s sample) float64    { return s.Twin }
func toTwin(s sample) float64  { return s.Value / s.Twin }

// median is the middle value, or the mean of the two in the middle; NaN of none.
func median(all []float64) float64 {
	if len(all) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(all))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}

// histogram counts durations, exact below 128 ns and to 1/64 above, so that millions cost
// neither memory nor a sort.
type histogram struct {
	n      uint64
	counts [2048]uint32
}

func (h *histogram) add(d time.Duration) {
	h.n++
	h.counts[bucket(d)]++
}

func (h *histogram) merge(o *histogram) {
	h.n += o.n
	for i := range o.counts {
		h.counts[i] += o.counts[i]
	}
}

// percentile is the duration that p of a hundred do not exceed, in microseconds: the
// middle of its bucket. Zero if there is none.
func (h *histogram) percentile(p float64) float64 {
	rank := uint64(math.Ceil(float64(h.n) * p / 100))
	for i, seen := 0, uint64(0); i < len(h.counts); i++ {
		if seen += uint64(h.counts[i]); seen >= rank && seen > 0 {
			lo, hi := bounds(i)
			return float64(lo+hi) / 2 / 1e3
		}
	}
	return 0
}

func bucket(d time.Duration) int {
	x := uint64(max(d, 0))
	shift := max(bits.Len64(x)-7, 0)
	return min(shift<<6+int(x>>shift), len(histogram{}.counts)-1)
}

// bounds are the least and the greatest duration of a bucket.
func bounds(i int) (lo, hi uint64) {
	if i < 128 {
		return uint64(i), uint64(i)
	}
	shift := i>>6 - 1
	lo = uint64(i-shift<<6) << shift
	return lo, lo + 1<<shift - 1
}

package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestMedianIsTheMiddleValueOrTheMeanOfTwo(t *testing.T) {
	for _, c := range []struct {
		all  []float64
		want float64
	}{
		{[]float64{7}, 7},
		{[]float64{9, 1}, 5},
		{[]float64{3, 100, 2}, 3},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		if got := median(c.all); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.all, got, c.want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing = %v, want NaN", got)
	}
}

func TestMedianLeavesItsArgumentInOrder(t *testing.T) {
	all := []float64{3, 1, 2}
	median(all)
	if !slices.Equal(all, []float64{3, 1, 2}) {
		t.Errorf("now %v", all)
	}
}

func TestSpanIsTheLowestAndTheHighest(t *testing.T) {
	lo, hi := samples{{Value: 5}, {Value: -2}, {Value: 9}}.span()
	if lo != -2 || hi != 9 {
		t.Errorf("span = %v, %v", lo, hi)
	}
	if lo, hi = (samples{}).span(); !math.IsNaN(lo) || !math.IsNaN(hi) {
		t.Errorf("span of nothing = %v, %v, want NaN", lo, hi)
	}
}

func TestBucketsFollowEachOtherWithoutGaps(t *testing.T) {
	next := uint64(0)
	for i := range len(histogram{}.counts) {
		lo, hi := bounds(i)
		if lo != next || hi < lo || bucket(time.Duration(lo)) != i || bucket(time.Duration(hi)) != i {
			t.Fatalf("bucket %d: %d to %d, want from %d; they fall into %d and %d", i, lo, hi, next, bucket(time.Duration(lo)), bucket(time.Duration(hi)))
		}
		next = hi + 1
	}
	if last := time.Duration(next); last < 30*time.Second {
		t.Errorf("the buckets end at %v", last)
	}
}

func TestPercentilesAreThoseOfTheSortedValuesToOneSixtyFourth(t *testing.T) {
	var parts [3]histogram
	var all []float64
	for i := range 10_000 {
		d := time.Duration(math.Exp(rand.Float64() * 20))
		parts[i%3].add(d)
		all = append(all, float64(d)/1e3)
	}
	var h histogram
	for i := range parts {
		h.merge(&parts[i])
	}
	slices.Sort(all)
	for _, p := range []float64{0.01, 50, 99, 99.9, 100} {
		want := all[int(math.Ceil(p/100*float64(len(all))))-1]
		if got := h.percentile(p); math.Abs(got-want) > want/64+0.001 {
			t.Errorf("p%v = %v, want %v", p, got, want)
		}
	}
	if got := (&histogram{}).percentile(50); got != 0 {
		t.Errorf("percentile of nothing = %v", got)
	}
}

package main

import (
	"context"
	"testing"
	"time"
)

func TestEveryEngineWritesAndIsMeasured(t *testing.T) {
	for _, e := range engines {
		for _, writers := range []int{1, 8} {
			got, err := e.measure(context.Background(), t.TempDir(), writers, 50*time.Millisecond)
			if err != nil || got.rate <= 0 || got.p99 < got.p50 {
				t.Errorf("%s, %d writers: %+v, %v", e.name, writers, got, err)
			}
		}
	}
	if p, err := probe(t.TempDir()+"/probe", 50*time.Millisecond); err != nil || p.rate <= 0 {
		t.Errorf("probe: %+v, %v", p, err)
	}
}

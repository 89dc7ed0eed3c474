package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// probe is the raw disk: one 4 KiB write and fdatasync after the other, over blocks that
// were written before. No durable append by a single writer can be much faster.
type probe struct {
	file  *os.File
	block []byte
	at    int64
}

const probeBytes = 16 << 20

func newProbe(dir string) (*probe, error) {
	f, err := os.Create(filepath.Join(dir, "probe"))
	if err != nil {
		return nil, err
	}
	p := &probe{file: f, block: make([]byte, 4096)}
	all := make([]byte, probeBytes)
	rand.Read(all)
	copy(p.block, all)
	if _, err := f.Write(all); err != nil {
		return nil, err
	}
	return p, f.Sync()
}

func (p *probe) run(d time.Duration) (s sample, err error) {
	var took histogram
	start := time.Now()
	last := start
	for last.Sub(start) < d {
		if _, err := p.file.WriteAt(p.block, p.at); err != nil {
			return s, err
		}
		if err := fdatasync(p.file); err != nil {
			return s, fmt.Errorf("probe: %w", err)
		}
		p.at = (p.at + int64(len(p.block))) % probeBytes
		now := time.Now()
		took.add(now.Sub(last))
		last = now
	}
	s = sample{Value: float64(took.n) / last.Sub(start).Seconds(), P50: took.percentile(50), P99: took.percentile(99), P999: took.percentile(99.9)}
	s.Probe, s.Flush = s.Value, s.P50
	return s, nil
}

func (p *probe) Close() error { return p.file.Close() }

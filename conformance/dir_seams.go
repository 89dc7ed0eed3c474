package conformance

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/papyra-go/papyra/backend"
)

// fewestZeros is how many zeros part two regions of a file.
const fewestZeros = 64

// Chart takes each file for a region, and in it each run of zeros and what stands between
// them: pages that are not full, and room that was reserved, are mostly zeros.
func (d *dirStore) Chart(context.Context) (ends []int64, err error) {
	files, err := d.files()
	at := int64(0)
	for _, f := range files {
		b, err := os.ReadFile(f.path)
		if err != nil {
			return nil, err
		}
		for _, end := range regions(b[:min(int64(len(b)), f.size)]) {
			ends = append(ends, at+end)
		}
		at += f.size
	}
	return ends, err
}

// regions returns where the regions of a file that is not empty end.
func regions(b []byte) (ends []int64) {
	zeros := 0 // before i
	for i, c := range b {
		switch {
		case c == 0:
			if zeros++; zeros == fewestZeros && i+1 > zeros {
				ends = append(ends, int64(i+1-zeros))
			}
		default:
			if zeros >= fewestZeros {
				ends = append(ends, int64(i))
			}
			zeros = 0
		}
	}
	return append(ends, int64(len(b)))
}

// Occupied puts text, noise and zeros where a store would be: in a file, or in a directory,
// as the engine's stores are; and one thing that it can't look into.
func (d *dirStore) Occupied(ctx context.Context, env *Env) (out []Occupied, err error) {
	sample := filepath.Join(env.Dir, "sample")
	b, err := d.open(ctx, sample, new(backend.Options))
	if err != nil {
		return nil, fmt.Errorf("a store to see of what kind it is: %w", err)
	}
	if err := b.Close(); err != nil {
		return nil, err
	}
	info, err := os.Stat(sample)
	if err != nil {
		return nil, err
	}
	noise := make([]byte, 64<<10)
	for i := range noise {
		noise[i] = byte(env.Rand.Uint32())
	}
	for n, thing := range []struct {
		name string
		body []byte
	}{{"text", bytes.Repeat([]byte("Not a store, and not to be lost.\n"), 300)}, {"noise", noise}, {"zeros", make([]byte, 64<<10)}} {
		for _, inDir := range []bool{false, true} {
			if n > 0 && inDir != info.IsDir() { // one that is not fit will do
				continue
			}
			place := filepath.Join(env.Dir, fmt.Sprint("occupied-", n, inDir))
			name, file := "a file of "+thing.name, place
			if inDir {
				name, file = "a directory with a file of "+thing.name, filepath.Join(place, thing.name)
				if err := os.Mkdir(place, 0o700); err != nil {
					return nil, err
				}
			}
			if err := os.WriteFile(file, thing.body, 0o600); err != nil {
				return nil, err
			}
			out = append(out, Occupied{Name: name, Store: &dirStore{place, d.open}, Unfit: inDir != info.IsDir()})
		}
	}
	return out, nil
}

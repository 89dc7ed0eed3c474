package kv

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/papyra-go/papyra/backend/internal/kv/kvtest"
	"github.com/papyra-go/papyra/backend/internal/machine"
)

func TestAnyDamagedValueIsNoticedAndLosesOneRecordAtMost(t *testing.T) {
	p := &testPlace{m: newMedium(), dir: t.TempDir()}
	tr := kvtest.MakeStore(t, p.open)
	healthy := p.m
	step := machine.Rounds(61, 11, 1)
	var c kvtest.Counts
	n := 0 // bytes of all values: a short run meets values of every kind
	for _, key := range healthy.keys {
		for at := range healthy.values[key] {
			if n++; n%step > 0 {
				continue
			}
			p.m = healthy.clone()
			p.m.values[key][at] ^= 1 << (n / step % 8)
			c.Judge(t, fmt.Sprintf("key %q byte %d", key, at), p.open, tr, 2)
			if t.Failed() {
				return
			}
		}
	}
	c.Log(t, "keys and values, a flipped bit")
	c.AllNoticed(t)
}

func TestAnyMissingKeyIsNoticedAndLosesOneRecordAtMost(t *testing.T) {
	p := &testPlace{m: newMedium(), dir: t.TempDir()}
	tr := kvtest.MakeStore(t, p.open)
	healthy := p.m
	var c kvtest.Counts
	for i, key := range healthy.keys {
		if testing.Short() && i%32 > 0 {
			continue
		}
		p.m = healthy.clone()
		p.m.delete(key)
		c.Judge(t, fmt.Sprintf("key %q deleted", key), p.open, tr, 2)
		p.m = healthy.clone()
		p.m.values[key] = nil
		c.Judge(t, fmt.Sprintf("key %q empty", key), p.open, tr, 2)
		if t.Failed() {
			return
		}
	}
	c.Log(t, "keys and values, a missing key")
}

func TestAnyValueOfAnotherKeyIsNoticed(t *testing.T) {
	p := &testPlace{m: newMedium(), dir: t.TempDir()}
	tr := kvtest.MakeStore(t, p.open)
	healthy := p.m
	var c kvtest.Counts
	for i, key := range healthy.keys {
		if testing.Short() && i%32 > 0 {
			continue
		}
		for _, d := range []int{1, 2, 7, nextOfKind(healthy.keys, i)} {
			other := healthy.keys[(i+d)%len(healthy.keys)]
			p.m = healthy.clone()
			p.m.set(key, healthy.values[other])
			c.Judge(t, fmt.Sprintf("key %q with the value of %q", key, other), p.open, tr, 4)
			p.m = healthy.clone()
			p.m.set(key, healthy.values[other])
			p.m.set(other, healthy.values[key])
			c.Judge(t, fmt.Sprintf("keys %q and %q swapped", key, other), p.open, tr, 4)
			if t.Failed() {
				return
			}
		}
	}
	c.Log(t, "keys and values, a value of another key")
}

// nextOfKind returns how far it is to the next key that is of the same table and part.
func nextOfKind(keys []string, i int) int {
	kind := func(key string) [2]byte {
		k, _ := parseStreamKey([]byte(key))
		return [2]byte{key[0], k.part}
	}
	for d := 1; d < len(keys); d++ {
		if kind(keys[(i+d)%len(keys)]) == kind(keys[i]) {
			return d
		}
	}
	return len(keys)
}

func TestAnyDamagedKeyIsNoticedAndLosesOneRecordAtMost(t *testing.T) {
	p := &testPlace{m: newMedium(), dir: t.TempDir()}
	tr := kvtest.MakeStore(t, p.open)
	healthy := p.m
	step := 13
	if testing.Short() {
		step = 307
	}
	if os.Getenv("PAPYRA_LONG") != "" {
		step = 1
	}
	var c kvtest.Counts
	for i, key := range healthy.keys {
		for bit := 8 + i%step; bit < 8*len(key); bit += step { // the table is the engine's
			p.m = healthy.clone()
			b := []byte(key)
			b[bit/8] ^= 1 << (bit % 8)
			p.m.delete(key)
			p.m.set(string(b), healthy.values[key])
			c.Judge(t, fmt.Sprintf("key %q as %q", key, b), p.open, tr, 4)
			if t.Failed() {
				return
			}
		}
	}
	c.Log(t, "keys and values, a flipped bit of a key")
}

// What a damaged page of an engine takes away is a run of keys.
func TestAnyMissingRunOfKeysIsNoticed(t *testing.T) {
	p := &testPlace{m: newMedium(), dir: t.TempDir()}
	tr := kvtest.MakeStore(t, p.open)
	healthy := p.m
	rng := rand.New(rand.NewPCG(5, 6))
	n := 150
	if testing.Short() {
		n = 15
	}
	if os.Getenv("PAPYRA_LONG") != "" {
		n = 3000
	}
	var c kvtest.Counts
	for range n {
		p.m = healthy.clone()
		from, size := 2+rng.IntN(len(healthy.keys)-2), 1+rng.IntN(20)
		for _, key := range healthy.keys[from:min(from+size, len(healthy.keys))] {
			p.m.delete(key)
		}
		c.Judge(t, fmt.Sprintf("keys %d to %d deleted", from, from+size), p.open, tr, 2*size)
		if t.Failed() {
			return
		}
	}
	c.Log(t, "keys and values, a missing run of keys")
}

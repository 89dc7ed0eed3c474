package codec

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/papyra-go/papyra/backend"
)

// Moved with another base, a record has the bytes that it would have been written with.
func TestAMovedRecordIsAsIfItHadBeenWrittenThere(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	seed := NewSeed(store)
	for range 2000 {
		r := random(rng)
		from, to := r.Time.UnixNano()-int64(rng.Uint64()>>rng.IntN(64)), r.Time.UnixNano()-int64(rng.Uint64()>>rng.IntN(64))
		var raw Raw
		if err := raw.Read(append(Append(nil, &r, seed, from), "more"...), seed, r.Position); err != nil {
			t.Fatal(err)
		}
		if string(raw.Stream()) != r.Stream || raw.Kind() != r.Kind || raw.Version() != r.Version {
			t.Fatalf("it says %s@%d %v, want %s@%d %v", raw.Stream(), raw.Version(), raw.Kind(), r.Stream, r.Version, r.Kind)
		}
		for _, base := range []int64{from, to} {
			if got, want := raw.Append([]byte("before"), seed, r.Position, from, base), Append([]byte("before"), &r, seed, base); !bytes.Equal(got, want) {
				t.Fatalf("from %d to %d:\n%x, want\n%x", from, base, got, want)
			}
		}
	}
}

func FuzzRawOfAnyBytes(f *testing.F) {
	r := sample()
	f.Add(Append(nil, &r, NewSeed(store), base))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, src []byte) {
		d := Decoder{Seed: NewSeed(store)}
		var raw Raw
		var rec backend.Record
		err := raw.Read(src, d.Seed, r.Position)
		n, want := d.Decode(src, r.Position, base, &rec)
		if (err == nil) != (want == nil) || errors.Is(err, backend.ErrFormat) != errors.Is(want, backend.ErrFormat) || errors.Is(err, ErrShort) != errors.Is(want, ErrShort) {
			t.Fatalf("%v, decoding says %v", err, want)
		}
		if err == nil && !bytes.Equal(raw.Append(nil, d.Seed, r.Position, base, base), src[:n]) {
			t.Fatal("the bytes changed")
		}
	})
}

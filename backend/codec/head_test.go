package codec

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/papyra-go/papyra/backend"
)

func TestAnyOneByteOfAHeadIsMended(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		r := random(rng)
		r.Stream, r.Type = r.Stream[:min(len(r.Stream), 60)], r.Type[:min(len(r.Type), 40)]
		seed := NewSeed([16]byte{7})
		src := Append(nil, &r, seed, 0)
		d := Decoder{Seed: seed}
		var f fields
		if !f.parse(src) {
			t.Fatal("its fields don't parse")
		}
		for at := range f.end + 4 {
			x := byte(1 + rng.IntN(255))
			bad := bytes.Clone(src)
			bad[at] ^= x
			if !d.Mend(bad, r.Position) || !bytes.Equal(bad, src) {
				t.Fatalf("byte %d of %d, xor %#x, is not mended", at, f.end+4, x)
			}
		}
		for _, head := range []byte{0, 1} {
			if len(r.Payload) == 0 {
				break
			}
			bad := bytes.Clone(src)
			bad[3] ^= head
			bad[f.end+4+len(r.Meta)] ^= 1
			before := bytes.Clone(bad)
			if d.Mend(bad, r.Position) || !bytes.Equal(bad, before) {
				t.Fatal("a payload is mended, or changed")
			}
		}
	}
}

func TestAHeadIsReadWithoutTheRest(t *testing.T) {
	r := sample()
	seed := NewSeed([16]byte{7})
	src := Append(nil, &r, seed, 0)
	d := Decoder{Seed: seed}
	var f fields
	if !f.parse(src) {
		t.Fatal("its fields don't parse")
	}
	var got backend.Record
	for n := range len(src) + 1 {
		size, err := d.Head(src[:n], r.Position, 0, &got)
		switch {
		case n < f.end+4 && err == nil:
			t.Fatalf("%d bytes of a head of %d are enough", n, f.end+4)
		case n >= f.end+4 && (err != nil || size != len(src) || got.Stream != r.Stream || got.Version != r.Version || !got.Time.Equal(r.Time)):
			t.Fatalf("%d bytes: %d, %v: %+v", n, size, err, got)
		}
	}
	if d.HeadIs(src, r.Position+1, len(src)) || d.HeadIs(src, r.Position, len(src)-1) || !d.HeadIs(src, r.Position, len(src)) {
		t.Error("HeadIs takes another position or length, or does not take its own")
	}
}

func FuzzHeadOfAnyBytes(f *testing.F) {
	r := sample()
	b := Append(nil, &r, NewSeed([16]byte{7}), 0)
	f.Add(b, uint64(r.Position), len(b))
	f.Add(b[:len(b)/2], uint64(r.Position), len(b))
	f.Add([]byte{}, uint64(0), 0)
	f.Fuzz(func(t *testing.T, src []byte, p uint64, n int) {
		d := Decoder{Seed: NewSeed([16]byte{7})}
		before := bytes.Clone(src)
		var r, whole backend.Record
		size, err := d.Head(src, backend.Position(p), 0, &r)
		if err != nil && !errors.Is(err, backend.ErrCorrupt) && !errors.Is(err, ErrShort) {
			t.Errorf("head: %v", err)
		}
		if err == nil && (size <= 0 || size > MaxLength || r.Stream == "") {
			t.Errorf("head: %d bytes: %+v", size, r)
		}
		if d.HeadIs(src, backend.Position(p), n) {
			if err != nil || size != n {
				t.Errorf("HeadIs takes it at %d bytes, Head says %d, %v", n, size, err)
			}
		}
		if _, full := d.Decode(src, backend.Position(p), 0, &whole); full == nil && (err != nil || whole.Stream != r.Stream || whole.Version != r.Version || whole.Kind != r.Kind) {
			t.Errorf("all of it is sound, the head says %+v, %v", r, err)
		}
		if !bytes.Equal(src, before) {
			t.Error("reading changed it")
		}
		if len(src) > 4096 {
			return
		}
		if d.Mend(src, backend.Position(p)) {
			if _, err := d.Decode(src, backend.Position(p), 0, &whole); err != nil {
				t.Errorf("what was mended does not decode: %v", err)
			}
		} else if !bytes.Equal(src, before) {
			t.Error("nothing is mended, and it is not as it was")
		}
	})
}

// What is mended is what was written, however it was damaged.
func FuzzMend(f *testing.F) {
	f.Add("stream", uint64(3), []byte("payload"), []byte{0, 1})
	f.Add("s", uint64(1), []byte{}, []byte{1, 7, 1, 9})
	f.Fuzz(func(t *testing.T, stream string, p uint64, payload, edits []byte) {
		if stream == "" || len(stream) > backend.MaxStreamBytes || len(payload) > 2048 || p == 0 {
			return
		}
		seed := NewSeed([16]byte{9})
		r := backend.Record{Stream: stream, Version: backend.Version(p), Kind: backend.Event, Position: backend.Position(p), Type: "t", Payload: payload}
		src := Append(nil, &r, seed, r.Time.UnixNano())
		bad := bytes.Clone(src)
		for ; len(edits) > 1; edits = edits[2:] {
			bad[int(edits[0])%len(bad)] ^= edits[1]
		}
		before := bytes.Clone(bad)
		d := Decoder{Seed: seed}
		var fs fields
		if !fs.parse(src) {
			t.Fatal("its fields don't parse")
		}
		changed, head := 0, true
		for i := range bad {
			if bad[i] != src[i] {
				changed++
				head = head && i < fs.end+4
			}
		}
		mended := d.Mend(bad, r.Position)
		switch {
		case mended && !bytes.Equal(bad, src):
			t.Errorf("mended to\n%x, written was\n%x", bad, src)
		case !mended && !bytes.Equal(bad, before):
			t.Error("nothing is mended, and it is not as it was")
		case !mended && changed == 1 && head:
			t.Errorf("one byte of the head is wrong and is not mended:\n%x\n%x", before, src)
		}
	})
}

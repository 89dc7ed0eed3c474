package codec

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
)

var store = [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

// sample is a record with something in every field.
func sample() backend.Record {
	meta, _ := backend.MakeMeta("trace", "0af7")
	return backend.Record{Position: 4711, Stream: "account/ada", Version: 300, Kind: backend.Event, Type: "deposited", Schema: 2,
		Time: time.Unix(0, 1_700_000_000_000_000_123).UTC(), Epoch: 7, Batch: backend.BatchRef{ID: backend.BatchID{0xaa, 15: 0xbb}},
		Payload: []byte(`{"cents":50}`), Meta: meta}
}

const base = 1_700_000_000_000_000_000

// The bytes are the format: if this fails, stores that exist can't be read any more.
func TestTheBytesAreThoseOfTheFormat(t *testing.T) {
	const (
		head = "49" + // length
			"0b6163636f756e742f616461" + "ac02" + "096465706f7369746564" + "02" + "07" + "f601" + "00" + // name, version, type, schema, epoch, time, place
			"aa0000000000000000000000000000bb" + "0b" // batch ID, meta length
		body    = "0574726163650430616637" + "7b2263656e7473223a35307d" // meta, payload
		want    = "61" + head + "05303d01" + body + "054c2242"          // kind and flags, headCRC, CRC
		earlier = "21" + head + "8aae5431" + body + "1d0b2327"          // headCRC not masked
	)
	r := sample()
	got := hex.EncodeToString(Append(nil, &r, NewSeed(store), base))
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, text := range []string{want, earlier} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		d, got := Decoder{Seed: NewSeed(store)}, backend.Record{}
		if n, err := d.Decode(b, r.Position, base, &got); err != nil || n != len(b) || !same(&got, &r) {
			t.Errorf("%s: %d bytes, %+v, %v", text, n, got, err)
		}
		if !d.HeadIs(b, r.Position, len(b)) {
			t.Errorf("%s: the head is not known", text)
		}
	}
}

// A payload with its checksum, of another record, another position or another store, is not
// taken for that of the head before it, whatever the two heads are.
func TestAPayloadIsBoundToItsHead(t *testing.T) {
	r := sample()
	seed := NewSeed(store)
	b := Append(nil, &r, seed, base)
	tail := len(r.Meta) + len(r.Payload) + 4
	next, elsewhere := r, r
	next.Version++
	elsewhere.Position++
	for what, other := range map[string][]byte{
		"another version":  Append(nil, &next, seed, base),
		"another position": Append(nil, &elsewhere, seed, base),
		"another store":    Append(nil, &r, NewSeed([16]byte{9}), base),
	} {
		mixed := append(b[:len(b)-tail:len(b)-tail], other[len(other)-tail:]...)
		d, got := Decoder{Seed: seed}, backend.Record{}
		if _, err := d.Decode(mixed, r.Position, base, &got); !errors.Is(err, backend.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		} else if got.Stream != r.Stream || got.Version != r.Version {
			t.Errorf("%s: the head is sound, and reads %+v", what, got)
		}
		if err := new(Raw).Read(mixed, seed, r.Position); !errors.Is(err, backend.ErrCorrupt) {
			t.Errorf("%s: moved: %v", what, err)
		}
	}
}

func TestTheSeedIsTheChecksumOfStoreAndPosition(t *testing.T) {
	for _, p := range []uint64{0, 1, 0x1267, 0x8000000000001267, 0xfedcba9876543210} {
		plain := binary.LittleEndian.AppendUint64(store[:len(store):len(store)], p)
		if got, want := NewSeed(store).at(backend.Position(p)), crc32.Checksum(plain, castagnoli); got != want {
			t.Errorf("%#x: %08x, want %08x", p, got, want)
		}
	}
}

func TestAWholeRecordFillsItsBytes(t *testing.T) {
	r := sample()
	whole := Append(nil, &r, NewSeed(store), base)
	d := Decoder{Seed: NewSeed(store)}
	var got backend.Record
	if err := d.DecodeWhole(whole, r.Position, base, &got); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%+v, %v: want %+v", got, err, r)
	}
	for n := range len(whole) {
		if err := d.DecodeWhole(whole[:n], r.Position, base, &got); !errors.Is(err, backend.ErrCorrupt) {
			t.Errorf("the first %d bytes: %v: want ErrCorrupt", n, err)
		}
	}
	if err := d.DecodeWhole(append(whole[:len(whole):len(whole)], 0), r.Position, base, &got); !errors.Is(err, backend.ErrCorrupt) || got.Payload != nil || got.Stream != "" {
		t.Errorf("with a byte behind it: %+v, %v: want ErrCorrupt", got, err)
	}
	whole[0] |= newerBits
	binary.LittleEndian.PutUint32(whole[len(whole)-4:], crc32.Update(d.Seed.at(r.Position), castagnoli, whole[:len(whole)-4]))
	if err := d.DecodeWhole(whole, r.Position, base, &got); !errors.Is(err, backend.ErrFormat) || errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("a newer version's: %v: want ErrFormat", err)
	}
}

func random(rng *rand.Rand) backend.Record {
	text := func(most int) string { return strings.Repeat(string(rune('a'+rng.IntN(26))), rng.IntN(most+1)) }
	number := func() uint64 { return rng.Uint64() >> rng.IntN(64) }
	r := backend.Record{Position: backend.Position(number()), Stream: "s" + text(backend.MaxStreamBytes-1), Version: backend.Version(number()),
		Kind: backend.Kind(1 + rng.IntN(31)), Type: text(backend.MaxTypeBytes), Schema: uint32(number()), Time: time.Unix(0, int64(rng.Uint64())).UTC(),
		Epoch: number(), Payload: make([]byte, rng.IntN(2000))}
	r.Batch.Place = uint32(number())
	if rng.IntN(2) == 0 {
		r.Batch.ID = backend.BatchID{1, byte(rng.Uint32())}
	}
	if rng.IntN(2) == 0 {
		r.Meta, _ = backend.MakeMeta("k"+text(20), text(200))
	}
	for i := range r.Payload {
		r.Payload[i] = byte(rng.Uint32())
	}
	return r
}

func TestARecordComesBackAsItWas(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	d := Decoder{Seed: NewSeed(store)}
	for range 5000 {
		r, at := random(rng), int64(rng.Uint64())
		b := Append([]byte("before"), &r, d.Seed, at)[6:]
		if len(b) != Size(&r, at) || len(b) > r.Size()+MaxOverhead {
			t.Fatalf("%d bytes; Size says %d, %d are the caller's", len(b), Size(&r, at), r.Size())
		}
		if n, err := Length(b[:6]); err != nil || n != len(b) {
			t.Fatalf("Length says %d, %v; want %d", n, err, len(b))
		}
		var got backend.Record
		n, err := d.Decode(append(b, "after"...), r.Position, at, &got)
		if err != nil || n != len(b) || !same(&r, &got) {
			t.Fatalf("%d, %v\n%+v\nwant\n%+v", n, err, got, r)
		}
	}
}

// same compares records, an empty payload being like none.
func same(a, b *backend.Record) bool {
	x, y := *a, *b
	if !bytes.Equal(x.Payload, y.Payload) || !bytes.Equal(x.Meta, y.Meta) || !x.Time.Equal(y.Time) {
		return false
	}
	x.Payload, y.Payload, x.Meta, y.Meta, x.Time = nil, nil, nil, nil, y.Time
	return reflect.DeepEqual(x, y)
}

func TestAnyFlippedBitAndAnyOtherPlaceIsNoticed(t *testing.T) {
	r := sample()
	d := Decoder{Seed: NewSeed(store)}
	b := Append(nil, &r, d.Seed, base)
	head := bytes.Index(b, r.Meta)
	var got backend.Record
	for bit := range 8 * len(b) {
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := d.Decode(b, r.Position, base, &got); err == nil || got.Payload != nil || got.Meta != nil {
			t.Fatalf("bit %d: %v, %+v", bit, err, got)
		}
		if known := got.Stream != ""; known && (got.Stream != r.Stream || got.Version != r.Version) || known != (bit/8 >= head) {
			t.Fatalf("bit %d: stream %q version %d", bit, got.Stream, got.Version)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
	if _, err := d.Decode(b, r.Position+1, base, &got); !errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("at another position: %v", err)
	}
	other := Decoder{Seed: NewSeed([16]byte{})}
	if _, err := other.Decode(b, r.Position, base, &got); !errors.Is(err, backend.ErrCorrupt) {
		t.Errorf("in another store: %v", err)
	}
	for cut := range b {
		if _, err := d.Decode(b[:cut], r.Position, base, &got); !errors.Is(err, ErrShort) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
}

func TestUnknownFlagsAreANewerFormat(t *testing.T) {
	r := sample()
	seed := NewSeed(store)
	b := Append(nil, &r, seed, base)
	b[0] |= newerBits
	b = reseal(b, seed, r.Position)
	d := Decoder{Seed: seed}
	if _, err := d.Decode(b, r.Position, base, &r); !errors.Is(err, backend.ErrFormat) {
		t.Error(err)
	}
}

// reseal makes the last checksum right.
func reseal(b []byte, seed Seed, p backend.Position) []byte {
	crc := crc32.Update(seed.at(p), castagnoli, b[:len(b)-4])
	b[len(b)-4], b[len(b)-3], b[len(b)-2], b[len(b)-1] = byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24)
	return b
}

func TestALengthBeyondTheLimitsIsRefusedBeforeAnythingIsRead(t *testing.T) {
	for _, b := range [][]byte{
		{1, 0xff, 0xff, 0xff, 0xff, 0x0f},
		{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
		{1, 0x03, 0, 0, 0, 0},
	} {
		if _, err := Length(b); !errors.Is(err, backend.ErrCorrupt) {
			t.Errorf("%x: %v", b, err)
		}
	}
	if MaxLength > math.MaxInt32 {
		t.Error("a record may be longer than a 32-bit length")
	}
}

func TestReadingAndWritingAllocateNothingPerRecord(t *testing.T) {
	r := sample()
	d := Decoder{Seed: NewSeed(store)}
	b := Append(nil, &r, d.Seed, base)
	var got backend.Record
	if n := testing.AllocsPerRun(100, func() { b = Append(b[:0], &r, d.Seed, base) }); n > 0 {
		t.Errorf("Append allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = d.Decode(b, r.Position, base, &got) }); n > 0 {
		t.Errorf("Decode allocates %v times", n)
	}
}

func TestManyNamesAreKeptApart(t *testing.T) {
	var in interner
	for range 3 {
		for i := range 100_000 {
			b := []byte{byte(i), byte(i >> 8), byte(i >> 16), 'x'}
			if got := in.get(b); got != string(b) {
				t.Fatalf("%q for %q", got, b)
			}
		}
	}
	if len(in.slots) > internMost {
		t.Errorf("%d slots", len(in.slots))
	}
}

func TestNothingOfTheRecordBeforeIsLeft(t *testing.T) {
	full, bare := sample(), backend.Record{Position: 1, Stream: "s", Kind: backend.Event, Time: time.Unix(0, base).UTC()}
	d := Decoder{Seed: NewSeed(store)}
	damaged := Append(nil, &bare, d.Seed, base)
	damaged[3] ^= 1
	for name, b := range map[string][]byte{
		"a record":          Append(nil, &bare, d.Seed, base),
		"a damaged one":     damaged,
		"a length":          {1, 0xff, 0xff, 0xff, 0xff, 0xff},
		"a part of one":     {1},
		"an unknown flag":   reseal(append([]byte{0xc1}, Append(nil, &bare, d.Seed, base)[1:]...), d.Seed, 1),
		"not fields at all": reseal(append([]byte{1, 40}, make([]byte, 44)...), d.Seed, 1),
	} {
		var got backend.Record
		if _, err := d.Decode(Append(nil, &full, d.Seed, base), full.Position, base, &got); err != nil {
			t.Fatal(err)
		}
		_, err := d.Decode(b, 1, base, &got)
		if want := (backend.Record{Position: 1}); err != nil && !reflect.DeepEqual(got, want) || err == nil && !same(&got, &bare) {
			t.Errorf("%s: %v, %+v", name, err, got)
		}
		if (err == nil) != (name == "a record") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecodeAnyBytes(f *testing.F) {
	r := sample()
	seed := NewSeed(store)
	good := Append(nil, &r, seed, base)
	f.Add(good, uint64(r.Position))
	f.Add(good[:20], uint64(1))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0x07}, uint64(0))
	d := Decoder{Seed: seed}
	f.Fuzz(func(t *testing.T, b []byte, position uint64) {
		p := backend.Position(position)
		if n, err := Length(b); err == nil && n <= len(b) && n >= 5 { // so that more than checksums is met
			reseal(b[:n], seed, p)
		}
		var got, again backend.Record
		n, err := d.Decode(b, p, base, &got)
		if err != nil {
			return
		}
		b = Append(nil, &got, seed, base)
		if _, err := d.Decode(b, p, base, &again); err != nil || !same(&got, &again) || len(b) > n {
			t.Fatalf("%d bytes %+v became %d bytes %+v, %v", n, got, len(b), again, err)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add(uint64(1), uint64(2), []byte("payload"), int64(0))
	d := Decoder{Seed: NewSeed(store)}
	f.Fuzz(func(t *testing.T, a, b uint64, payload []byte, at int64) {
		r := random(rand.New(rand.NewPCG(a, b)))
		r.Payload = payload
		bytes := Append(nil, &r, d.Seed, at)
		var got backend.Record
		if _, err := d.Decode(bytes, r.Position, at, &got); err != nil || !same(&r, &got) {
			t.Fatalf("%v\n%+v\nwant\n%+v", err, got, r)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	r := sample()
	r.Payload = make([]byte, 256)
	buf := Append(nil, &r, 0, base)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		buf = Append(buf[:0], &r, 0, base)
	}
}

func BenchmarkDecode(b *testing.B) {
	r := sample()
	r.Payload = make([]byte, 256)
	buf := Append(nil, &r, 0, base)
	b.SetBytes(int64(len(buf)))
	var d Decoder
	var got backend.Record
	for b.Loop() {
		if _, err := d.Decode(buf, r.Position, base, &got); err != nil {
			b.Fatal(err)
		}
	}
}

// Records of 10,000 streams in no order, as a replay of the log meets them.
func BenchmarkDecodeManyStreams(b *testing.B) {
	const streams = 10_000
	var buf []byte
	var ends []int
	for i := range streams {
		r := sample()
		r.Stream = "account/" + strconv.Itoa(i*7919%streams)
		r.Payload = make([]byte, 256)
		buf = Append(buf, &r, 0, base)
		ends = append(ends, len(buf))
	}
	b.SetBytes(int64(len(buf) / streams))
	var d Decoder
	var got backend.Record
	i, at := 0, 0
	for b.Loop() {
		if _, err := d.Decode(buf[at:ends[i]], 4711, base, &got); err != nil {
			b.Fatal(err)
		}
		if at, i = ends[i], i+1; i == streams {
			at, i = 0, 0
		}
	}
}

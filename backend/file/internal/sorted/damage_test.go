package sorted

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
)

// probe reads a damaged table in all ways. It returns the first wrong answer that came
// without an error, and whether there was any error.
func probe(table *Table, names []string, entries map[string]string) (wrong string, failed bool) {
	cursor := table.NewCursor()
	for _, name := range names {
		for _, get := range []func(string, []byte) ([]byte, bool, error){table.Get, cursor.Get} {
			v, ok, err := get(name, nil)
			want, has := entries[name]
			if err == nil && (ok != has || string(v) != want) {
				return fmt.Sprintf("Get %q: %q, %t", name, v, ok), failed
			}
			failed = failed || err != nil
		}
	}
	for _, from := range []string{"", names[len(names)/2]} {
		it := table.Seek(from)
		i, _ := slices.BinarySearch(names, from)
		for ; it.Next(); i++ {
			if i >= len(names) || string(it.Name()) != names[i] || string(it.Value()) != entries[names[i]] {
				return fmt.Sprintf("Seek %q: %q is %q", from, it.Name(), it.Value()), failed
			}
		}
		if it.Err() == nil && i != len(names) {
			return fmt.Sprintf("Seek %q: ends after %d", from, i), failed
		}
		failed = failed || it.Err() != nil
	}
	return "", failed
}

func TestNoFlippedByteGoesUnnoticed(t *testing.T) {
	entries := deep(150)
	section := build(t, entries, testSeed)
	if level := section[len(section)-BlockSize+4]; level < 2 {
		t.Fatalf("the table of %d blocks has %d levels, want 3", len(section)/BlockSize, level+1)
	}
	names, step := slices.Sorted(maps.Keys(entries)), 1
	if testing.Short() || raceEnabled {
		step = 17
	}
	for n := range len(section) / BlockSize {
		t.Run(fmt.Sprintf("block %d", n), func(t *testing.T) {
			t.Parallel()
			section := bytes.Clone(section)
			for at := n * BlockSize; at < (n+1)*BlockSize; at += step {
				section[at] ^= 1 << (at % 8)
				wantFlipFound(t, section, at, names, entries)
				section[at] ^= 1 << (at % 8)
			}
		})
	}
}

// wantFlipFound looks up two names, and all in the more telling places.
func wantFlipFound(t *testing.T, section []byte, at int, names []string, entries map[string]string) {
	err := open(section).Check(nil)
	var bad *BlockError
	if !errors.As(err, &bad) || bad.Block != int64(at/BlockSize) || bad.Offset != bad.Block*BlockSize {
		t.Fatalf("byte %d: Check returns %v", at, err)
	}
	if at%BlockSize >= headerSize && at%256 != 0 {
		if wrong := probeGets(open(section), []string{names[0], names[at%len(names)]}, entries); wrong != "" {
			t.Fatalf("byte %d: %s", at, wrong)
		}
	} else if wrong, failed := probe(open(section), names, entries); wrong != "" || !failed {
		t.Fatalf("byte %d: %s; an error: %t", at, wrong, failed)
	}
}

func probeGets(table *Table, names []string, entries map[string]string) string {
	for _, name := range names {
		if v, ok, err := table.Get(name, nil); err == nil && (!ok || string(v) != entries[name]) {
			return fmt.Sprintf("Get %q: %q, %t", name, v, ok)
		}
		if it := table.Seek(name); it.Next() && (string(it.Name()) != name || string(it.Value()) != entries[name]) {
			return fmt.Sprintf("Seek %q: %q is %q", name, it.Name(), it.Value())
		}
	}
	return ""
}

func TestASectionThatIsNotTheOneWrittenIsAnError(t *testing.T) {
	entries := deep(150)
	names := slices.Sorted(maps.Keys(entries))
	section := build(t, entries, testSeed)
	blocks := len(section) / BlockSize
	type row struct {
		name    string
		section []byte
	}
	rows := []row{
		{"another file's", build(t, entries, testSeed+1)},
		{"cut in a block", section[:len(section)-1]},
		{"longer by zeros", slices.Concat(section, make([]byte, BlockSize))},
		{"longer by its root", slices.Concat(section, section[len(section)-BlockSize:])},
		{"without its first block", section[BlockSize:]},
		{"zeros", make([]byte, len(section))},
	}
	for n := 1; n < blocks; n++ {
		rows = append(rows, row{fmt.Sprintf("cut to %d blocks", n), section[:n*BlockSize]})
		moved := bytes.Clone(section)
		copy(moved[n*BlockSize:(n+1)*BlockSize], section[(n-1)*BlockSize:])
		rows = append(rows, row{fmt.Sprintf("block %d copied to the next", n-1), moved})
	}
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			var bad *BlockError
			if err := open(tt.section).Check(nil); !errors.As(err, &bad) {
				t.Errorf("Check: %v", err)
			}
			if wrong, failed := probe(open(tt.section), names, entries); wrong != "" || !failed {
				t.Errorf("%s; an error: %t", wrong, failed)
			}
		})
	}
}

// reseal changes block n of a section and makes its CRC right.
func reseal(section []byte, n int, change func(b *block)) []byte {
	section = bytes.Clone(section)
	b := (*block)(section[n*BlockSize:])
	change(b)
	binary.LittleEndian.PutUint32(b[crcOffset:], b.crc(testSeed, int64(n)))
	return section
}

func TestCheckFindsWhatACRCDoesNotTell(t *testing.T) {
	entries := fixed(5000, 20, 8)
	section := build(t, entries, testSeed)
	root := len(section)/BlockSize - 1
	put := binary.LittleEndian.PutUint16
	tests := []struct {
		name   string
		n      int
		change func(b *block)
	}{
		{"one entry more", 0, func(b *block) { put(b[0:], uint16(b.count()+1)) }},
		{"one entry less", 0, func(b *block) { put(b[0:], uint16(b.count()-1)) }},
		{"no entries", 0, func(b *block) { put(b[0:], 0) }},
		{"the most entries", 0, func(b *block) { put(b[0:], 65535) }},
		{"entries end early", 0, func(b *block) { put(b[2:], uint16(b.used()-1)) }},
		{"entries end late", 0, func(b *block) { put(b[2:], uint16(b.used()+1)) }},
		{"an unknown flag", 0, func(b *block) { b[5] |= 2 }},
		{"two roots", 0, func(b *block) { b[5] |= flagRoot }},
		{"no root", root, func(b *block) { b[5] = 0 }},
		{"a leaf that says it is an index", 0, func(b *block) { b[4] = 1 }},
		{"a root of another level", root, func(b *block) { b[4] = 2 }},
		{"a root that says it is a leaf", root, func(b *block) { b[4] = 0 }},
		{"a level that no table has", root, func(b *block) { b[4] = 255 }},
		{"something after the entries", root, func(b *block) { b[b.used()] = 1 }},
		{"a restart elsewhere", 0, func(b *block) { put(b[restartAt(b.count(), 8):], 8) }},
		{"a restart outside", 0, func(b *block) { put(b[restartAt(b.count(), 8):], 65535) }},
		{"a name that falls", 0, func(b *block) { b[b.used()-9] = 0 }},
		{"a last name above the next leaf's", 0, func(b *block) { b[b.used()-9] = 0xff }},
		{"a child that is the root", root, func(b *block) { put(b[b.used()-4:], uint16(root)) }},
		{"a child that is listed twice", root, func(b *block) { put(b[b.used()-4:], 0) }},
		{"a child after the section", root, func(b *block) { put(b[b.used()-2:], 65535) }},
		{"a child under another name", root, func(b *block) { b[b.used()-5]++ }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			changed := reseal(section, tt.n, tt.change)
			var bad *BlockError
			if err := open(changed).Check(nil); !errors.As(err, &bad) {
				t.Errorf("Check: %v", err)
			}
			use(open(changed), []string{"", "00000000000000000123", "00000000000000004999", "z"})
		})
	}
}

func TestBlocksThatTheWriterNeverMakesAreErrors(t *testing.T) {
	section := build(t, fixed(5000, 20, 8), testSeed)
	root := len(section)/BlockSize - 1
	// relisted returns the section with a root of that level which lists all but so
	// many of its blocks.
	relisted := func(level, drop int) []byte {
		b, w := builder{level: level, used: headerSize}, walk{}
		old := (*block)(section[root*BlockSize:])
		w.follow(old)
		for range old.count() - drop {
			if ok, err := w.next(); !ok || err != nil {
				t.Fatal(ok, err)
			}
			b.add(w.name, w.value)
		}
		b.seal(testSeed, int64(root), true)
		return slices.Concat(section[:root*BlockSize], b.block[:])
	}
	if !bytes.Equal(relisted(1, 0), section) {
		t.Fatal("a root with all blocks is not the root")
	}
	long := builder{used: headerSize}
	long.add([]byte(strings.Repeat("n", MaxName)), nil)
	long.add([]byte(strings.Repeat("n", MaxName+1)), nil)
	long.seal(testSeed, 0, true)
	const name = "00000000000000004999"
	tests := []struct {
		name    string
		section []byte
		get     bool // finds it, too
	}{
		{"a root that lists all blocks but one", relisted(1, 1), false},
		{"a root that is two levels above its blocks", relisted(2, 0), true},
		{"a name that is too long", long.block[:], false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var bad *BlockError
			if err := open(tt.section).Check(nil); !errors.As(err, &bad) {
				t.Errorf("Check: %v", err)
			}
			if _, _, err := open(tt.section).Get(name, nil); tt.get != errors.As(err, &bad) {
				t.Errorf("Get: %v", err)
			}
		})
	}
}

func TestAnUnreadableBlockIsTheReadersError(t *testing.T) {
	entries := fixed(5000, 20, 8)
	section := build(t, entries, testSeed)
	broken := errors.New("broken")
	table := Open(failing{broken}, 0, int64(len(section)), testSeed)
	var bad *BlockError
	if _, _, err := table.Get("a", nil); !errors.Is(err, broken) || !errors.As(err, &bad) || bad.Block != int64(len(section)/BlockSize-1) {
		t.Errorf("Get: %v", err)
	}
	if it := table.Seek("a"); it.Next() || !errors.Is(it.Err(), broken) {
		t.Errorf("Next: %v", it.Err())
	}
	if err := table.Check(nil); !errors.Is(err, broken) || !errors.As(err, &bad) || bad.Block != 0 {
		t.Errorf("Check: %v", err)
	}
	hole := &hole{r: bytes.NewReader(section), at: 5*BlockSize + 100, err: broken}
	table = Open(hole, 0, int64(len(section)), testSeed)
	if err := table.Check(nil); !errors.Is(err, broken) || !errors.As(err, &bad) || bad.Block != 5 {
		t.Errorf("Check: %v", err)
	}
	n := 0
	it := table.Seek("")
	for it.Next() {
		n++
	}
	if err := it.Err(); !errors.Is(err, broken) || !errors.As(err, &bad) || bad.Block != 5 || n == 0 {
		t.Errorf("Next: %v after %d entries", err, n)
	}
}

// A hole is a byte that can't be read; those before it can.
type hole struct {
	r   io.ReaderAt
	at  int64
	err error
}

func (h *hole) ReadAt(p []byte, off int64) (int, error) {
	if off <= h.at && h.at < off+int64(len(p)) {
		n, _ := h.r.ReadAt(p[:h.at-off], off)
		return n, h.err
	}
	return h.r.ReadAt(p, off)
}

func TestASectionThatCannotBeOneIsAnErrorWithoutReading(t *testing.T) {
	for _, tt := range []struct{ off, size int64 }{{0, 1}, {0, -BlockSize}, {-1, BlockSize}, {1 << 62, 1 << 62}, {0, BlockSize + 1}} {
		table := Open(nil, tt.off, tt.size, testSeed)
		var bad *BlockError
		if _, _, err := table.Get("a", nil); !errors.As(err, &bad) {
			t.Errorf("%d bytes at %d: Get: %v", tt.size, tt.off, err)
		}
		if it := table.Seek("a"); it.Next() || !errors.As(it.Err(), &bad) {
			t.Errorf("%d bytes at %d: Next: %v", tt.size, tt.off, it.Err())
		}
		if err := table.Check(nil); !errors.As(err, &bad) {
			t.Errorf("%d bytes at %d: Check: %v", tt.size, tt.off, err)
		}
	}
}

// use calls all there is; what it returns does not matter.
func use(table *Table, names []string) (list int, err error) {
	cursor := table.NewCursor()
	for _, name := range names {
		table.Get(name, nil)
		cursor.Get(name, nil)
		it := table.Seek(name)
		last := ""
		for it.Next() {
			if list++; string(it.Name()) <= last || string(it.Name()) < name || len(it.Name()) > MaxName || len(it.Value()) > MaxValue {
				return list, fmt.Errorf("from %q: %q after %q with %d bytes", name, it.Name(), last, len(it.Value()))
			}
			last = string(it.Name())
		}
	}
	return list, nil
}

func FuzzTable(f *testing.F) {
	for _, entries := range []map[string]string{nil, fixed(1, 1, 0), fixed(9, 10, 3), fixed(200, 20, 10), fixed(12, 512, 256)} {
		section := build(f, entries, testSeed)
		f.Add(section, "5", true)
		f.Add(section, "5", false)
		f.Add(section[:len(section)/2], "", true)
	}
	f.Fuzz(func(t *testing.T, section []byte, name string, resealed bool) {
		if resealed { // gets past the CRC
			section = bytes.Clone(section)
			for n := range len(section) / BlockSize {
				b := (*block)(section[n*BlockSize:])
				binary.LittleEndian.PutUint32(b[crcOffset:], b.crc(testSeed, int64(n)))
			}
		}
		table := open(section)
		list, err := use(table, []string{name, ""})
		if err != nil || list > 2*len(section) {
			t.Errorf("%d entries, %v", list, err)
		}
		if table.Check(nil) != nil {
			return
		}
		// What passes the check holds what it lists.
		it := open(section).Seek("")
		for it.Next() {
			if v, ok, err := table.Get(string(it.Name()), nil); err != nil || !ok || !bytes.Equal(v, it.Value()) {
				t.Fatalf("%q: %q, %t, %v, want %q", it.Name(), v, ok, err, it.Value())
			}
		}
		if it.Err() != nil {
			t.Error(it.Err())
		}
	})
}

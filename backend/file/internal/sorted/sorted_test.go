package sorted

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const testSeed = 0x5eed

// build returns the section of the entries.
func build(t testing.TB, entries map[string]string, seed uint32) []byte {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out, seed)
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		if err := w.Add(name, []byte(entries[name])); err != nil {
			t.Fatal(err)
		}
	}
	size, err := w.Finish()
	if err != nil || size != int64(out.Len()) || size%BlockSize != 0 || w.Count() != len(entries) {
		t.Fatalf("Finish: %d, %v with %d bytes written; Count is %d, want %d", size, err, out.Len(), w.Count(), len(entries))
	}
	return out.Bytes()
}

func open(section []byte) *Table {
	return Open(bytes.NewReader(section), 0, int64(len(section)), testSeed)
}

// random returns n entries whose names are a prefix and up to so many bytes.
func random(n int, prefix string, most int, alphabet int) map[string]string {
	r := rand.New(rand.NewPCG(uint64(n), uint64(most)))
	entries := map[string]string{}
	for range n {
		name := []byte(prefix)
		for range 1 + r.IntN(most) {
			name = append(name, byte(256-alphabet+r.IntN(alphabet)))
		}
		entries[string(name)] = strings.Repeat(string(rune('a'+r.IntN(26))), r.IntN(40))
	}
	return entries
}

// fixed returns entries with names and values of the given lengths.
func fixed(n, name, value int) map[string]string {
	entries := map[string]string{}
	for i := range n {
		entries[fmt.Sprintf("%0*d", name, i)] = strings.Repeat("v", value)
	}
	return entries
}

// deep returns entries of which leaves and indexes hold few: a leaf ends among names
// that share 400 bytes, and those of the next leaf share none with them. So 150 entries
// have three levels.
func deep(n int) map[string]string {
	entries := map[string]string{}
	for i := range n {
		name := fmt.Sprintf("%03d%s%04d%s", i/12, strings.Repeat("p", 400), i, strings.Repeat("s", 105))
		entries[name] = fmt.Sprintf("%0256d", i)
	}
	return entries
}

var tables = []struct {
	name    string
	entries map[string]string
	levels  int // at least
}{
	{"no entries", nil, 0},
	{"one entry", map[string]string{"a": "1"}, 1},
	{"a name of one zero byte", map[string]string{"\x00": "", "\x00\x00": "2", "\xff": "3"}, 1},
	{"one restart and a bit", fixed(9, 10, 3), 1},
	{"two leaves", fixed(300, 20, 10), 2},
	{"names of 512 bytes and values of 256", fixed(700, 512, 256), 3},
	{"names of 512 bytes and no values", fixed(9000, 512, 0), 3},
	{"long prefixes that indexes can't shorten", deep(1000), 3},
	{"random short names of few letters", random(20000, "", 12, 2), 2},
	{"random names of all bytes", random(50000, "", 30, 256), 2},
	{"random names with a long prefix", random(20000, strings.Repeat("prefix/", 50), 40, 3), 3},
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	for _, tt := range tables {
		t.Run(tt.name, func(t *testing.T) {
			section := build(t, tt.entries, testSeed)
			if len(section) > 0 {
				if levels := int(section[len(section)-BlockSize+4]) + 1; levels < tt.levels {
					t.Errorf("the table has %d levels, want at least %d", levels, tt.levels)
				}
			}
			table := open(section)
			cursor := table.NewCursor()
			names := slices.Sorted(maps.Keys(tt.entries))
			for _, name := range names {
				wantValue(t, table.Get, name, tt.entries)
				wantValue(t, cursor.Get, name, tt.entries)
				for _, near := range []string{name[:len(name)-1], name + "\x00", name + "\xff", before(name)} {
					wantValue(t, table.Get, near, tt.entries)
				}
			}
			wantList(t, table, "", names, tt.entries)
			total := int64(0)
			if err := table.Check(func(n int64) { total = n }); err != nil || total != int64(len(section)) {
				t.Errorf("Check: %v after %d bytes of %d", err, total, len(section))
			}
		})
	}
}

// before is a name just below the given one.
func before(name string) string {
	b := []byte(name)
	if b[len(b)-1] == 0 {
		return string(b[:len(b)-1])
	}
	b[len(b)-1]--
	return string(b) + "\xff"
}

func wantValue(t *testing.T, get func(string, []byte) ([]byte, bool, error), name string, entries map[string]string) {
	t.Helper()
	v, ok, err := get(name, []byte("old"))
	if want, has := entries[name]; err != nil || ok != has || string(v) != want {
		t.Fatalf("%q: %q, %t, %v, want %q, %t", name, v, ok, err, want, has)
	}
}

func wantList(t *testing.T, table *Table, from string, names []string, entries map[string]string) {
	t.Helper()
	it := table.Seek(from)
	for _, name := range names {
		if !it.Next() || string(it.Name()) != name || string(it.Value()) != entries[name] {
			t.Fatalf("from %q: %q is %q, want %q is %q; %v", from, it.Name(), it.Value(), name, entries[name], it.Err())
		}
	}
	if it.Next() || it.Err() != nil {
		t.Fatalf("from %q: %q after the last, %v", from, it.Name(), it.Err())
	}
}

func TestSeekFindsTheFirstNameThatIsNotBelow(t *testing.T) {
	for _, tt := range tables {
		t.Run(tt.name, func(t *testing.T) {
			table := open(build(t, tt.entries, testSeed))
			names := slices.Sorted(maps.Keys(tt.entries))
			from := []string{"", "\x00", "m", strings.Repeat("\xff", MaxName), strings.Repeat("\xff", 2*MaxName)}
			for i := 0; i < len(names); i += 1 + len(names)/2000 {
				from = append(from, names[i], names[i]+"\x00", before(names[i]), names[i][:(len(names[i])+1)/2])
			}
			for _, name := range from {
				i, _ := slices.BinarySearch(names, name)
				it := table.Seek(name)
				for _, want := range names[i:min(i+2, len(names))] {
					if !it.Next() || string(it.Name()) != want || string(it.Value()) != tt.entries[want] {
						t.Fatalf("from %q: %q is %q, want %q; %v", name, it.Name(), it.Value(), want, it.Err())
					}
				}
				if i == len(names) && (it.Next() || it.Err() != nil) {
					t.Fatalf("from %q: %q after the last, %v", name, it.Name(), it.Err())
				}
			}
		})
	}
}

func TestASectionBeginsAnywhereInAFile(t *testing.T) {
	entries := fixed(1000, 30, 5)
	section := build(t, entries, testSeed)
	file := slices.Concat([]byte("odd bytes"), section, section)
	table := Open(bytes.NewReader(file), 9, int64(len(section)), testSeed)
	if err := table.Check(nil); err != nil {
		t.Error(err)
	}
	wantList(t, table, "", slices.Sorted(maps.Keys(entries)), entries)
}

func TestAddRefusesWhatATableCannotHold(t *testing.T) {
	tests := []struct {
		name  string
		add   string
		value int
		ok    bool
	}{
		{"no name", "", 0, false},
		{"the name before", "m", 0, false},
		{"a name below the one before", "a", 0, false},
		{"a name that is too long", strings.Repeat("z", MaxName+1), 0, false},
		{"a value that is too long", "z", MaxValue + 1, false},
		{"the longest name and value", strings.Repeat("z", MaxName), MaxValue, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			w := NewWriter(&out, testSeed)
			if err := w.Add("m", nil); err != nil {
				t.Fatal(err)
			}
			if err := w.Add(tt.add, make([]byte, tt.value)); (err == nil) != tt.ok {
				t.Errorf("Add: %v", err)
			}
			if err := w.Add(strings.Repeat("z", MaxName-1)+"\xff", nil); err != nil {
				t.Errorf("Add afterwards: %v", err)
			}
			if _, err := w.Finish(); err != nil {
				t.Errorf("Finish: %v", err)
			}
			if err := open(out.Bytes()).Check(nil); err != nil {
				t.Errorf("Check: %v", err)
			}
			if err := w.Add("\xff\xff", nil); err == nil {
				t.Error("Add after Finish returns no error")
			}
		})
	}
}

func TestAWriterKeepsReturningTheErrorOfItsFile(t *testing.T) {
	full := errors.New("full")
	w := NewWriter(failing{full}, testSeed)
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		err = w.Add(fmt.Sprintf("%0100d", i), nil)
	}
	if !errors.Is(err, full) {
		t.Fatalf("Add: %v", err)
	}
	if _, err := w.Finish(); !errors.Is(err, full) {
		t.Errorf("Finish: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error)         { return 0, f.err }
func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

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

// A counter counts reads of leaves and of index blocks, and those of more than a block.
type counter struct {
	section     []byte
	leaf, index int
	most        int
}

func (c *counter) ReadAt(p []byte, off int64) (int, error) {
	if c.section[off+4] == 0 {
		c.leaf++
	} else {
		c.index++
	}
	c.most = max(c.most, len(p))
	return copy(p, c.section[off:]), nil
}

func TestALookupReadsOneLeafAndIndexBlocksOnce(t *testing.T) {
	entries := fixed(20000, 300, 8)
	section := build(t, entries, testSeed)
	names := slices.Sorted(maps.Keys(entries))
	leaves, blocks := 0, len(section)/BlockSize
	for n := range blocks {
		if section[n*BlockSize+4] == 0 {
			leaves++
		}
	}
	c := &counter{section: section}
	table := Open(c, 0, int64(len(section)), testSeed)
	for _, name := range names {
		wantValue(t, table.Get, name, entries)
	}
	if c.leaf != len(names) || c.index != blocks-leaves || c.most != BlockSize {
		t.Errorf("Get read %d leaves and %d index blocks, up to %d bytes, want %d and %d, %d", c.leaf, c.index, c.most, len(names), blocks-leaves, BlockSize)
	}
	c.leaf, c.index = 0, 0
	cursor := table.NewCursor()
	for _, name := range names {
		wantValue(t, cursor.Get, name, entries)
	}
	if c.leaf != leaves || c.index != 0 {
		t.Errorf("a cursor read %d leaves and %d index blocks, want %d and 0", c.leaf, c.index, leaves)
	}
	c.leaf, c.index = 0, 0
	wantList(t, table, "", names, entries)
	if reads := c.leaf + c.index; reads > blocks/(readMost/BlockSize)+6 || c.most != readMost {
		t.Errorf("listing %d blocks took %d reads of up to %d bytes", blocks, reads, c.most)
	}
}

func TestATableIsSafeForConcurrentUse(t *testing.T) {
	entries := fixed(20000, 60, 8)
	table := open(build(t, entries, testSeed))
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := g; i < 20000; i += 7 {
				name := fmt.Sprintf("%060d", i)
				if v, ok, err := table.Get(name, nil); err != nil || !ok || string(v) != entries[name] {
					t.Errorf("%s: %q, %t, %v", name, v, ok, err)
					return
				}
			}
			if it := table.Seek("1"); it.Next() || it.Err() != nil {
				t.Errorf("Next: %q, %v", it.Name(), it.Err())
			}
		})
	}
	wg.Wait()
}

// bigName is the i-th name of a large table, 45 bytes.
func bigName(i int) string { return fmt.Sprintf("account/%08x/region-eu-west/ledger-%09d", i/1000, i) }

// big writes n entries to a file, each with a value of 24 bytes.
func big(t testing.TB, n int) *Table {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "table"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	w := NewWriter(f, testSeed)
	for i := range n {
		if err := w.Add(bigName(i), make([]byte, 24)); err != nil {
			t.Fatal(err)
		}
	}
	size, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return Open(f, 0, size, testSeed)
}

func TestGetAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool drops what is put back when races are looked for")
	}
	const n = 20000
	table := big(t, n)
	cursor := table.NewCursor()
	value := make([]byte, 0, MaxValue)
	names := make([]string, 0, n)
	for i := range n {
		names = append(names, bigName(i))
		table.Get(names[i], value)
	}
	i := 0
	if allocs := testing.AllocsPerRun(5000, func() {
		i = (i + 7919) % n
		_, a, _ := table.Get(names[i], value)
		_, b, _ := cursor.Get(names[i], value)
		_, c, _ := table.Get("no such name", value)
		if !a || !b || c {
			t.Fatal("a wrong answer")
		}
	}); allocs != 0 {
		t.Errorf("three lookups allocate %v times", allocs)
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

func BenchmarkGet(b *testing.B) {
	const n = 1_000_000
	table := big(b, n)
	names := make([]string, n)
	for i, from := range rand.New(rand.NewPCG(1, 2)).Perm(n) {
		names[i] = bigName(from)
	}
	value := make([]byte, 0, MaxValue)
	ascending := slices.Sorted(slices.Values(names))
	run := func(name string, get func(string, []byte) ([]byte, bool, error), names []string) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, ok, err := get(names[i%n], value); !ok || err != nil {
					b.Fatal(ok, err)
				}
				i++
			}
		})
	}
	run("random", table.Get, names)
	b.Run("random-bare-read", func(b *testing.B) { // what Get costs at least
		p, r := make([]byte, BlockSize), rand.New(rand.NewPCG(1, 2))
		for b.Loop() {
			table.r.ReadAt(p, r.Int64N(table.blocks)*BlockSize)
		}
	})
	run("ascending", table.Get, ascending)
	run("ascending-cursor", table.NewCursor().Get, ascending)
	b.Run("random-parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			value := make([]byte, 0, MaxValue)
			for i := rand.IntN(n); pb.Next(); i++ {
				if _, ok, err := table.Get(names[i%n], value); !ok || err != nil {
					b.Error(ok, err)
				}
			}
		})
	})
	b.Run("iterate", func(b *testing.B) {
		it := table.Seek("")
		for b.Loop() {
			if !it.Next() {
				it = table.Seek("")
			}
		}
	})
}

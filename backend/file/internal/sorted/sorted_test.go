package sorted

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
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

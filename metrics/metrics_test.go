package metrics

import (
	"encoding/json"
	"reflect"
	"sync/atomic"
	"testing"
)

// numbered returns Counters whose i-th field holds i+1, so that a field that is
// forgotten or swapped anywhere shows.
func numbered(t *testing.T) *Counters {
	t.Helper()
	c := new(Counters)
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		f, ok := v.Field(i).Addr().Interface().(*atomic.Uint64)
		if !ok {
			t.Fatalf("Counters.%s is a %s, want atomic.Uint64", v.Type().Field(i).Name, v.Field(i).Type())
		}
		f.Store(uint64(i + 1))
	}
	return c
}

func TestEveryCounterStandsInSnapshotTableAndSubOnce(t *testing.T) {
	c := numbered(t)
	s := c.Snapshot()
	cv, sv := reflect.TypeFor[Counters](), reflect.ValueOf(s)
	if cv.NumField() != sv.NumField() || cv.NumField() != len(Table) {
		t.Fatalf("Counters has %d fields, Snapshot %d, Table %d", cv.NumField(), sv.NumField(), len(Table))
	}
	diff := reflect.ValueOf(s.Sub(Snapshot{}))
	zero := reflect.ValueOf(s.Sub(s))
	for i, row := range Table {
		name, want := cv.Field(i).Name, uint64(i+1)
		if sv.Type().Field(i).Name != name {
			t.Errorf("field %d: Counters.%s, Snapshot.%s", i, name, sv.Type().Field(i).Name)
		}
		if got := sv.Field(i).Uint(); got != want {
			t.Errorf("Snapshot.%s = %d, want %d", name, got, want)
		}
		if got := row.Of(&s); got != want {
			t.Errorf("Table row %s reads %d, want %d (%s)", row.Name, got, want, name)
		}
		if tag := sv.Type().Field(i).Tag.Get("json"); tag != row.Name {
			t.Errorf("Snapshot.%s has the JSON name %q, Table says %q", name, tag, row.Name)
		}
		if got := diff.Field(i).Uint(); got != want {
			t.Errorf("Sub drops %s: %d, want %d", name, got, want)
		}
		if got := zero.Field(i).Uint(); got != 0 {
			t.Errorf("s.Sub(s).%s = %d, want 0", name, got)
		}
		if row.Unit == "" || row.Help == "" || row.Help[len(row.Help)-1] != '.' {
			t.Errorf("Table row %s: unit %q, help %q: want a unit and a sentence", row.Name, row.Unit, row.Help)
		}
	}
}

func TestAllYieldsTheTableInOrderAndStopsWhenAsked(t *testing.T) {
	s := numbered(t).Snapshot()
	i := 0
	for c, v := range s.All() {
		if c.Name != Table[i].Name || v != uint64(i+1) {
			t.Errorf("All()[%d] = %s %d, want %s %d", i, c.Name, v, Table[i].Name, i+1)
		}
		i++
		if i == 3 {
			break
		}
	}
	if i != 3 {
		t.Errorf("the loop ran %d times, want 3", i)
	}
}

func TestSnapshotDoesNotAllocate(t *testing.T) {
	c := numbered(t)
	if n := testing.AllocsPerRun(100, func() { s := c.Snapshot(); _ = s.WritesTotal }); n != 0 {
		t.Errorf("Snapshot allocates %v times", n)
	}
}

func TestSnapshotAsJSONHasTheTablesNames(t *testing.T) {
	b, err := json.Marshal(numbered(t).Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]uint64
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	for i, row := range Table {
		if m[row.Name] != uint64(i+1) {
			t.Errorf("JSON %s = %d, want %d", row.Name, m[row.Name], i+1)
		}
	}
}

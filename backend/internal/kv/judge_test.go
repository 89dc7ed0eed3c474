package kv

import (
	"testing"

	"github.com/papyra-go/papyra/backend"
)

// What an append writes beside a record is what a judge says.
func TestAJudgeKnowsWhatIsWrittenBesideARecord(t *testing.T) {
	p := &testPlace{m: newMedium(), dir: t.TempDir()}
	b, err := p.open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Append(t.Context(), backend.Batch{Stream: "s", Expected: backend.Any, Records: []backend.Record{{Payload: []byte("x")}}}); err != nil {
		t.Fatal(err)
	}
	j, ok := NewJudge(func(key []byte) []byte { return p.m.values[string(key)] })
	if !ok {
		t.Fatal("no judge")
	}
	records, rewritten := 0, 0
	for key, value := range p.m.values {
		if j.Rewritten([]byte(key)) {
			rewritten++
		}
		if !j.Record([]byte(key)) {
			continue
		}
		records++
		beside := j.Beside([]byte(key), value)
		for _, other := range beside {
			if p.m.values[string(other)] == nil {
				t.Errorf("%q is not there", other)
			}
		}
		if len(beside) != 3 {
			t.Errorf("beside %q: %q", key, beside)
		}
	}
	var all []byte
	for _, value := range p.m.values {
		all = append(append(all, "rubbish"...), value...)
	}
	searched := 0
	j.Search(all, func(home, value []byte) {
		searched++
		if string(p.m.values[string(home)]) != string(value) {
			t.Errorf("%q is found under %q", value, home)
		}
	})
	if searched != records {
		t.Errorf("%d records are found of %d", searched, records)
	}
	highest := appendPlaceKey(nil, 1)
	for _, was := range [][]byte{nil, p.m.values[string(stateKey)]} {
		key, value := j.Doubt(was, highest)
		st, err := parseState(j.sums, value)
		if string(key) != string(stateKey) || err != nil || st.last != 1+doubtful || st.newest != st.last {
			t.Errorf("in doubt: %q, %+v, %v", key, st, err)
		}
	}
	if records != 1 || rewritten != 2 {
		t.Errorf("%d records, %d keys that change", records, rewritten)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

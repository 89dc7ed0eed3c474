package backend_test

import (
	"testing"

	"github.com/papyra-go/papyra/backend"
)

// What Check accepts is read back whole, and made again is the same bytes; what it
// refuses harms nobody.
func FuzzMeta(f *testing.F) {
	good, _ := backend.MakeMeta("traceparent", "00-1-2-01", "empty", "")
	f.Add([]byte(good))
	f.Add([]byte{0, 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 'a'})
	f.Add([]byte{0x81, 0, 'a', 0})
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := backend.Meta(raw)
		var pairs []string
		for k, v := range m.All() {
			pairs = append(pairs, k, v)
		}
		if m.Check() != nil {
			return
		}
		for i := 0; i < len(pairs); i += 2 {
			if v, ok := m.Get(pairs[i]); !ok || v != pairs[i+1] {
				t.Errorf("Get(%q) = %q, %v; All says %q", pairs[i], v, ok, pairs[i+1])
			}
		}
		again, err := backend.MakeMeta(pairs...)
		if err != nil || string(again) != string(raw) {
			t.Errorf("made again it is %x, %v; was %x", []byte(again), err, raw)
		}
	})
}

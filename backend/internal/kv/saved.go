package kv

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/papyra-go/papyra/backend"
)

// Names of saved bytes: what they are of, how many, and their checksum. Of a value that is
// the position of its record, 0 if it is not known.
const (
	savedSuffix = ".bytes"
	savedValue  = "position-"
)

// ParseSaved takes from the name of a file in quarantine what it says. own reports whether
// the engine has a file of a name, which it saves whole.
func ParseSaved(name string, own func(name string) bool) backend.Saved {
	whole := backend.Saved{Of: "file", Offset: -1, Text: "a whole file"}
	stem, saved := strings.CutSuffix(name, savedSuffix)
	rest, sum, cut := cutLast(stem)
	what, size, cut2 := cutLast(rest)
	n, err := strconv.ParseInt(size, 10, 64)
	if !saved || !cut || !cut2 || err != nil || n < 0 || len(sum) != 8 {
		return whole
	}
	if own(what) {
		whole.Length, whole.Sum, whole.Text = n, sum, fmt.Sprintf("the damaged %s, saved whole before a new one was made of it", what)
		return whole
	}
	p, of := strings.CutPrefix(what, savedValue)
	at, err := strconv.ParseUint(p, 10, 64)
	if !of || err != nil {
		return whole
	}
	s := backend.Saved{Of: "value", ID: at, Offset: -1, Length: n, Sum: sum, Text: fmt.Sprintf("%d bytes of the record at position %d", n, at)}
	if at == 0 {
		s.Text = fmt.Sprintf("%d bytes, of a value whose position is not known", n)
	}
	return s
}

func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, '-')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// HoldsHole reports whether a marked hole is of a value that was saved.
func HoldsHole(s *backend.Saved, hole *backend.Anomaly) bool {
	return s.Of == "value" && s.ID > 0 && uint64(hole.Position) == s.ID
}

// longestKey is what may stand before a value that was saved with its key.
const longestKey = 600

// SalvageValue finds the record in the bytes of a value, which its key may precede.
func (j *Judge) SalvageValue(data []byte) (list []backend.Salvaged) {
	for at := range min(len(data), longestKey) {
		if r, ok := j.Decode(data[at:]); ok {
			return []backend.Salvaged{{Offset: int64(at), Length: int64(len(data) - at), Record: r, Timed: true}}
		}
	}
	return nil
}

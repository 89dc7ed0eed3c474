package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// Python reads what the Python library Papyra 0.1 writes: a line of JSON for each event,
// audit and dead letter, in the files of its JsonFilePersistence and of its
// RotatingFilePersistence.
//
//	event        $sys/<system_id>/lifecycle   type: its event_type
//	audit        $sys/<system_id>/audit       type: audit
//	dead_letter  $sys/<system_id>/deadletter  type: its message_type
//
// The meta has the actor, where one is named, and the timestamp: it is seconds since the
// machine was started, unless the application had set a clock, and becomes the record's
// time only if it is one that can be today's.
type Python struct{}

// Name is papyra-python.
func (Python) Name() string { return "papyra-python" }

// The meta of a record that the Python library wrote.
const (
	metaActor     = "import.actor"
	metaTimestamp = "import.timestamp"
)

// wallClock is the least timestamp that is taken for a time since 1970, in seconds: of the
// year 2001. No machine has run for so long.
const wallClock = 1e9

// Decode implements [Foreign].
func (Python) Decode(line []byte, r *backend.Record) ([]string, error) {
	fields, err := object(line)
	if err != nil {
		return nil, err
	}
	kind, err := text(fields, "kind")
	if err != nil {
		return nil, err
	}
	typed, actor := "", ""
	own := backend.Lifecycle
	switch kind {
	case "event":
		typed, actor = "event_type", "actor_address"
	case "audit":
		own = backend.Audit
	case "dead_letter":
		own, typed, actor = backend.DeadLetter, "message_type", "target"
	default:
		return nil, fmt.Errorf("kind %.80q: want event, audit or dead_letter", kind)
	}
	system, err := text(fields, "system_id")
	if err != nil {
		return nil, err
	}
	r.Stream, r.Type = backend.SystemStream(system, own), own.String()
	if typed != "" {
		if r.Type, err = text(fields, typed); err != nil {
			return nil, err
		}
	}
	var stamp json.Number
	if raw, ok := fields["timestamp"]; !ok {
		return nil, errors.New("no timestamp")
	} else if err := json.Unmarshal(raw, &stamp); err != nil || raw[0] == '"' || stamp == "" {
		return nil, fmt.Errorf("timestamp %.40s: want a number of seconds", raw)
	}
	seconds, _ := stamp.Float64()
	if seconds >= wallClock && seconds < math.MaxInt64/1e9 {
		r.Time = unix(seconds)
	}
	meta := []string{metaTimestamp, string(stamp)}
	if who := address(fields[actor], true); who != "" {
		meta = append(meta, metaActor, who)
	}
	return meta, nil
}

// unix is a time in seconds since 1970, to the microsecond: a float64 holds no more.
func unix(seconds float64) time.Time {
	return time.UnixMicro(int64(math.Round(seconds * 1e6))).UTC()
}

// address is the actor that is meant by an address, which is text or {"system": …,
// "actor_id": …}, or, where it may be one, by a reference with such an _address; empty if
// it can't be told.
func address(raw json.RawMessage, mayRefer bool) string {
	var name string
	if json.Unmarshal(raw, &name) == nil {
		return clipped(name)
	}
	var ref struct {
		System  string          `json:"system"`
		ActorID json.Number     `json:"actor_id"`
		Address json.RawMessage `json:"_address"`
	}
	if json.Unmarshal(raw, &ref) != nil {
		return ""
	}
	if ref.Address != nil && mayRefer {
		return address(ref.Address, false)
	}
	if ref.ActorID == "" {
		return ""
	}
	return clipped(ref.System + ":" + ref.ActorID.String())
}

// clipped is a name as far as a meta should hold it; the payload has all of it.
func clipped(s string) string { return strings.ToValidUTF8(s[:min(len(s), 1024)], "") }

// object parses a line as a JSON object. What Python writes for numbers that are none is
// read as null.
func object(line []byte) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	err := json.Unmarshal(line, &fields)
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		if again := json.Unmarshal(withoutNaN(line), &fields); again != nil {
			return nil, notJSON(line, syntax)
		}
		err = nil
	}
	if err != nil || fields == nil {
		return nil, fmt.Errorf("want a JSON object, got %.40s", line)
	}
	return fields, nil
}

func notJSON(line []byte, err *json.SyntaxError) error {
	if err.Offset >= int64(len(line)) && strings.Contains(err.Error(), "unexpected end") {
		return fmt.Errorf("the line is cut off after %d bytes", len(line))
	}
	return fmt.Errorf("not JSON: byte %d: %v", err.Offset, err)
}

var notANumber = regexp.MustCompile(`^-?(NaN|Infinity)\b`)

// withoutNaN is line with null for NaN and the infinities outside of its strings.
func withoutNaN(line []byte) []byte {
	out := make([]byte, 0, len(line))
	inString := false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '"':
			inString = !inString
		case c == '\\' && inString && i+1 < len(line):
			out = append(out, c)
			i++
			c = line[i]
		case !inString && (c == 'N' || c == 'I' || c == '-'):
			if word := notANumber.Find(line[i:]); word != nil {
				out = append(out, "null"...)
				i += len(word) - 1
				continue
			}
		}
		out = append(out, c)
	}
	return out
}

// text is a field that must be text and not empty.
func text(fields map[string]json.RawMessage, name string) (string, error) {
	raw, ok := fields[name]
	if !ok {
		return "", fmt.Errorf("no %s", name)
	}
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", fmt.Errorf("%s is %.40s: want text", name, bytes.TrimSpace(raw))
	}
	if s == "" {
		return "", fmt.Errorf("%s is empty", name)
	}
	return s, nil
}

// InOrder returns files in the order in which they were written: of a rotated set, name.3
// before name.2, and name last. Sets stand in the order in which they are first named.
func InOrder(files []string) []string {
	type part struct {
		name   string
		set, n int
	}
	sets := map[string]int{}
	var parts []part
	for _, f := range files {
		base, n := rotated(f)
		if !slices.Contains(files, base) && !slices.Contains(files, base+".1") {
			base, n = f, 0 // no set: that is its name
		}
		if _, known := sets[base]; !known {
			sets[base] = len(sets)
		}
		parts = append(parts, part{f, sets[base], n})
	}
	slices.SortStableFunc(parts, func(a, b part) int {
		if a.set != b.set {
			return a.set - b.set
		}
		return b.n - a.n
	})
	var out []string
	for _, p := range parts {
		out = append(out, p.name)
	}
	return out
}

// rotated splits name.3 into name and 3; other names are their own, with 0.
func rotated(file string) (base string, n int) {
	ext := filepath.Ext(file)
	if ext == "" {
		return file, 0
	}
	n, err := strconv.Atoi(ext[1:])
	if err != nil || n <= 0 {
		return file, 0
	}
	return file[:len(file)-len(ext)], n
}

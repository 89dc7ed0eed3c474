package transfer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// NDJSON reads newline-delimited JSON of any making. A field is named by its name in the
// line's object, or by a path with dots through objects.
type NDJSON struct {
	Stream      string       // the stream of all records; empty: StreamField says it
	StreamField string       // text, or a number
	TypeField   string       // text, or a number; empty: records have no type
	TimeField   string       // RFC 3339, or a number since 1970; empty: the import's time
	Kind        backend.Kind // Event, or the kind of the system that the stream's name then is
}

// Name is ndjson.
func (NDJSON) Name() string { return "ndjson" }

// Decode implements [Foreign].
func (f NDJSON) Decode(line []byte, r *backend.Record) (_ []string, err error) {
	if !json.Valid(line) {
		var any json.RawMessage
		if syntax := (*json.SyntaxError)(nil); errors.As(json.Unmarshal(line, &any), &syntax) {
			return nil, notJSON(line, syntax)
		}
		return nil, errors.New("not JSON")
	}
	r.Stream = f.Stream
	if f.StreamField != "" {
		if r.Stream, err = name(line, f.StreamField); err != nil {
			return nil, err
		}
	}
	if f.Kind != backend.Event {
		r.Stream = backend.SystemStream(r.Stream, f.Kind)
	} else if backend.KindOf(r.Stream) != backend.Event {
		return nil, fmt.Errorf("stream %.80q is an actor system's: events can't stand there (see --kind)", r.Stream)
	}
	if f.TypeField != "" {
		if r.Type, err = name(line, f.TypeField); err != nil {
			return nil, err
		}
	}
	if f.TimeField != "" {
		r.Time, err = moment(line, f.TimeField)
	}
	return nil, err
}

// field is what stands at a path in a line's object.
func field(line []byte, path string) (json.RawMessage, error) {
	at := json.RawMessage(line)
	rest := path
	for rest != "" {
		var fields map[string]json.RawMessage
		if json.Unmarshal(at, &fields) != nil || fields == nil {
			return nil, fmt.Errorf("no field %s", path)
		}
		if found, ok := fields[rest]; ok {
			return found, nil
		}
		first, more, deeper := strings.Cut(rest, ".")
		found, ok := fields[first]
		if !ok || !deeper {
			return nil, fmt.Errorf("no field %s", path)
		}
		at, rest = found, more
	}
	return at, nil
}

// name is the text, or the number as it is written, that stands at a path.
func name(line []byte, path string) (string, error) {
	raw, err := field(line, path)
	if err != nil {
		return "", err
	}
	switch {
	case raw[0] == '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9':
		return string(raw), nil
	}
	return "", fmt.Errorf("%s is %.40s: want text or a number", path, raw)
}

// moment is the time that stands at a path: RFC 3339, or a number since 1970 in seconds,
// milliseconds, microseconds or nanoseconds, whichever puts it between 1973 and 2262.
func moment(line []byte, path string) (time.Time, error) {
	s, err := name(line, path)
	if err != nil {
		return time.Time{}, err
	}
	wrong := fmt.Errorf("%s is %.40q: want RFC 3339, such as 2026-01-02T03:04:05Z, or a number of seconds, milliseconds, microseconds or nanoseconds since 1970", path, s)
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		if t = t.UTC(); t.Equal(time.Unix(0, t.UnixNano())) {
			return t, nil
		}
		return t, wrong
	}
	whole := json.Number(s)
	if n, err := whole.Int64(); err == nil && n >= 0 {
		switch {
		case n < 1e11:
			return inRange(time.Unix(n, 0).UTC(), wrong)
		case n < 1e14:
			return time.UnixMilli(n).UTC(), nil
		case n < 1e17:
			return time.UnixMicro(n).UTC(), nil
		}
		return time.Unix(0, n).UTC(), nil
	}
	if x, err := whole.Float64(); err == nil && x >= 0 && x < math.MaxInt64/1e9 {
		return unix(x), nil
	}
	return time.Time{}, wrong
}

// inRange is t, or the error if a record can't have that time.
func inRange(t time.Time, wrong error) (time.Time, error) {
	if t.Unix() >= math.MaxInt64/1_000_000_000 {
		return time.Time{}, wrong
	}
	return t, nil
}

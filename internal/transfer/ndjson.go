package transfer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
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
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t, err = sized(s)
	}
	if err != nil || !t.Equal(time.Unix(0, t.UnixNano())) { // a record has no time beyond
		return time.Time{}, wrong
	}
	return t.UTC(), nil
}

// sized is the time that a number since 1970 stands for, by its size. One with a fraction
// or an exponent is good to the microsecond.
func sized(s string) (time.Time, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
		switch {
		case n < 1e11:
			return time.Unix(n, 0), nil
		case n < 1e14:
			return time.UnixMilli(n), nil
		case n < 1e17:
			return time.UnixMicro(n), nil
		}
		return time.Unix(0, n), nil
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || x < 0 || !json.Valid([]byte(s)) { // 0x1p4, 1_000 and NaN are none of JSON's
		return time.Time{}, errors.New("no number since 1970")
	}
	switch {
	case x < 1e11:
	case x < 1e14:
		x /= 1e3
	case x < 1e17:
		x /= 1e6
	default:
		x /= 1e9
	}
	if x >= math.MaxInt64/1e9 {
		return time.Time{}, errors.New("beyond 2262")
	}
	return unix(x), nil
}

package actorsys

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/papyra-go/papyra/backend"
)

// Codec turns events and snapshots into bytes and back. Unmarshal gets a pointer,
// and bytes that it must not keep. Compression and encryption wrap a codec. The zero
// Codec is encoding/json, which leaves out unexported fields: [Register] refuses what
// it would store with loss (see [On]), for as long as a half of the codec is nil. With
// both set, what they keep is yours to know.
type Codec struct {
	Marshal   func(v any) ([]byte, error)
	Unmarshal func(data []byte, v any) error
}

func (c Codec) withDefaults() Codec {
	if c.Marshal == nil {
		c.Marshal = json.Marshal
	}
	if c.Unmarshal == nil {
		c.Unmarshal = json.Unmarshal
	}
	return c
}

// Events are the event types of one kind of actor, each from [On] or [Upcast].
type Events[S any] []EventType[S]

// EventType says how one stored (name, schema) is read and, if it comes from [On],
// which Go type is written so.
type EventType[S any] struct {
	name   string
	schema uint32
	goType reflect.Type // what is written so; nil for an upcast
	readAs reflect.Type // what the bytes are decoded as
	evolve func(c Codec, data []byte, s S) (S, error)
}

// On registers the event type E under a name and a schema number, which are what is
// stored: never change them while the store lives. When E's layout changes in a way
// that old bytes don't fit, give it the next schema number and read the old one with
// [Upcast], or with On on the old type. S is inferred: On[Deposited]("deposited", 1).
//
// With the default codec E must come back from encoding/json as it went in: an
// unexported field, a chan, func or complex number, or two fields of one JSON name
// anywhere in E make [Register] fail, unless the type that has them implements
// json.Marshaler and json.Unmarshaler (or the two of package encoding for text), or
// the field is tagged `json:"-"`. Two things it lets pass: a field whose type is an
// interface (a non-empty one can't be decoded, so that the replay fails unless it is
// null; any comes back as maps, slices, strings and float64s), and a struct that
// embeds a type with MarshalJSON, such as time.Time, and so is stored as that alone.
func On[E Event[S], S any](name string, schema uint32) EventType[S] {
	return EventType[S]{name, schema, reflect.TypeFor[E](), reflect.TypeFor[E](), func(c Codec, data []byte, s S) (S, error) {
		var e E
		if err := c.Unmarshal(data, &e); err != nil {
			return s, err
		}
		return e.Evolve(s), nil
	}}
}

// Upcast reads what was stored under a name and an older schema number: the bytes
// are decoded as Old, and f says what they mean today; no events at all means that
// they no longer matter. f must return the same each time. Nothing is rewritten. What
// [On] says of the default codec goes for Old too.
func Upcast[Old, S any](name string, schema uint32, f func(Old) []Event[S]) EventType[S] {
	return EventType[S]{name, schema, nil, reflect.TypeFor[Old](), func(c Codec, data []byte, s S) (S, error) {
		var old Old
		if err := c.Unmarshal(data, &old); err != nil {
			return s, err
		}
		for _, e := range f(old) {
			s = e.Evolve(s)
		}
		return s, nil
	}}
}

// book is a kind's events, by what is stored and by what is decided.
type book[S any] struct {
	codec    Codec
	byStored map[storedType]*EventType[S]
	byGoType map[reflect.Type]*EventType[S]
}

type storedType struct {
	name   string
	schema uint32
}

func newBook[S any](codec Codec, events Events[S]) (*book[S], error) {
	b := &book[S]{codec.withDefaults(), map[storedType]*EventType[S]{}, map[reflect.Type]*EventType[S]{}}
	for i := range events {
		e := &events[i]
		stored := storedType{e.name, e.schema}
		switch {
		case e.evolve == nil:
			return nil, fmt.Errorf("%w: event type %d is empty: make it with On or Upcast", backend.ErrInvalid, i)
		case e.name == "" || len(e.name) > backend.MaxTypeBytes || !utf8.ValidString(e.name) || strings.Contains(e.name, "\x00"):
			return nil, fmt.Errorf("%w: event name %.80q: want 1 to %d bytes of UTF-8 without NUL", backend.ErrInvalid, e.name, backend.MaxTypeBytes)
		case strings.HasPrefix(e.name, reservedPrefix):
			return nil, fmt.Errorf("%w: event name %.80q: those that begin with %q are the system's", backend.ErrInvalid, e.name, reservedPrefix)
		case b.byStored[stored] != nil:
			return nil, fmt.Errorf("%w: event %q schema %d is registered twice", backend.ErrInvalid, e.name, e.schema)
		case e.goType != nil && e.goType.Kind() == reflect.Interface:
			return nil, fmt.Errorf("%w: event %q: %v is an interface: register the types behind it", backend.ErrInvalid, e.name, e.goType)
		case e.goType != nil && b.byGoType[e.goType] != nil:
			return nil, fmt.Errorf("%w: event type %v is registered twice", backend.ErrInvalid, e.goType)
		}
		if err := codec.unfit(e.readAs, e.goType != nil); err != nil {
			return nil, fmt.Errorf("%w: event %q: %w", backend.ErrInvalid, e.name, err)
		}
		b.byStored[stored] = e
		if e.goType != nil {
			b.byGoType[e.goType] = e
		}
	}
	return b, nil
}

// encode makes the records of one turn.
func (b *book[S]) encode(t *Turn, events []Event[S], meta backend.Meta) ([]backend.Record, error) {
	records := make([]backend.Record, len(events))
	for i, e := range events {
		et := b.byGoType[reflect.TypeOf(e)]
		if et == nil {
			return nil, fmt.Errorf("%w: event type %T is not registered with its kind (see On)", backend.ErrInvalid, e)
		}
		payload, err := b.codec.Marshal(e)
		if err != nil {
			return nil, fmt.Errorf("%w: encoding event %q: %w", backend.ErrInvalid, et.name, err)
		}
		records[i] = backend.Record{Kind: backend.Event, Type: et.name, Schema: et.schema, Time: t.now, Payload: payload, Meta: meta}
	}
	return records, nil
}

// apply evolves a state by a stored event.
func (b *book[S]) apply(r *backend.Record, s S) (S, error) {
	et := b.byStored[storedType{r.Type, r.Schema}]
	if et == nil {
		return s, &UnknownEventError{r.Stream, r.Version, r.Type, r.Schema}
	}
	s, err := et.evolve(b.codec, r.Payload, s)
	if err != nil {
		err = &undecodableError{fmt.Errorf("stream %q version %d: decoding event %q schema %d: %w", r.Stream, r.Version, r.Type, r.Schema, err)}
	}
	return s, err
}

// undecodableError says that a codec could not read a stored event.
type undecodableError struct{ error }

func (e *undecodableError) Unwrap() error { return e.error }

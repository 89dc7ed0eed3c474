package actorsys

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// fitness finds what encoding/json would not give back as it was, so that it is
// refused before anything is lost. It knows the rules of encoding/json's fields.
type fitness struct {
	writes, reads bool // which halves of the codec are encoding/json
	seen          map[place]bool
}

// place is a type as encoding/json meets it: it calls a pointer's methods on a value
// only if it can take the value's address.
type place struct {
	t           reflect.Type
	addressable bool
}

// unfit returns why the codec would lose something of a t; nil if it would not, or if
// it is the author's.
func (c Codec) unfit(t reflect.Type, written bool) error {
	f := fitness{c.Marshal == nil && written, c.Unmarshal == nil, map[place]bool{}}
	if !f.writes && !f.reads {
		return nil
	}
	return f.check(t, false)
}

func (f *fitness) check(t reflect.Type, addressable bool) error {
	p := place{t, addressable}
	if f.seen[p] || f.ownWay(t, addressable) {
		return nil
	}
	f.seen[p] = true
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		return fmt.Errorf("%v, which encoding/json can't store: leave it out, or set Options.Codec", t)
	case reflect.Pointer, reflect.Slice:
		return f.check(t.Elem(), true)
	case reflect.Array:
		return f.check(t.Elem(), addressable)
	case reflect.Map:
		if !f.key(t.Key()) {
			return fmt.Errorf("%v is keyed by %v, which encoding/json can't write as a key and read back: give it MarshalText and UnmarshalText, or set Options.Codec", t, t.Key())
		}
		return f.check(t.Elem(), false)
	case reflect.Struct:
		return f.fields(t, addressable, map[string]bool{}, nil)
	}
	return nil
}

// fields checks what t stores: its own fields and those of the structs that it embeds.
// names are those met so far; within are the structs that t is embedded in.
func (f *fitness) fields(t reflect.Type, addressable bool, names map[string]bool, within []reflect.Type) error {
	if slices.Contains(within, t) {
		return nil
	}
	within = append(within, t)
	for i := range t.NumField() {
		field := t.Field(i)
		tag := field.Tag.Get("json")
		if tag == "-" || field.Name == "_" {
			continue
		}
		name, _, _ := strings.Cut(tag, ",")
		inner, pointer := field.Type, field.Type.Kind() == reflect.Pointer
		if pointer {
			inner = inner.Elem()
		}
		embedded := field.Anonymous && inner.Kind() == reflect.Struct
		switch {
		case !field.IsExported() && !embedded:
			return f.unexported(t, field.Name, addressable)
		case !field.IsExported() && pointer:
			return fmt.Errorf("%v embeds a pointer to the unexported %v, which encoding/json can't read back: embed the value, export the type, or set Options.Codec", t, inner)
		case embedded && name == "":
			if err := f.fields(inner, addressable || pointer, names, within); err != nil {
				return err
			}
			continue
		case name == "":
			name = field.Name
		}
		if names[name] {
			return fmt.Errorf("%v has two fields that are %q in JSON, of which encoding/json stores one at most: rename one, or set Options.Codec", within[0], name)
		}
		names[name] = true
		if err := f.check(field.Type, addressable); err != nil {
			return fmt.Errorf("field %s: %w", field.Name, err)
		}
	}
	return nil
}

func (f *fitness) unexported(t reflect.Type, name string, addressable bool) error {
	remedy := "export it, give the type MarshalJSON and UnmarshalJSON, or set Options.Codec"
	if !addressable && f.ownWay(t, true) {
		remedy = "its methods are the pointer's, which are not called on a value: hold a pointer, or set Options.Codec"
	}
	return fmt.Errorf("%v has the unexported field %s, which encoding/json does not store: %s", t, name, remedy)
}

var (
	marshalers   = []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[encoding.TextMarshaler]()}
	unmarshalers = []reflect.Type{reflect.TypeFor[json.Unmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()}
)

// ownWay reports whether the type turns itself into JSON and back.
func (f *fitness) ownWay(t reflect.Type, addressable bool) bool {
	writes := slices.ContainsFunc(marshalers, func(m reflect.Type) bool {
		return t.Implements(m) || addressable && reflect.PointerTo(t).Implements(m)
	})
	reads := slices.ContainsFunc(unmarshalers, func(u reflect.Type) bool {
		return t.Implements(u) || reflect.PointerTo(t).Implements(u)
	})
	return (writes || !f.writes) && (reads || !f.reads)
}

// key reports whether encoding/json can write a map's key and read it back.
func (f *fitness) key(t reflect.Type) bool {
	switch k := t.Kind(); {
	case k == reflect.String, k >= reflect.Int && k <= reflect.Uintptr:
		return true
	}
	return (!f.writes || t.Implements(marshalers[1])) && (!f.reads || reflect.PointerTo(t).Implements(unmarshalers[1]))
}

package actortest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/papyra-go/papyra/actorsys"
	"github.com/papyra-go/papyra/backend"
)

// updateGolden is the environment variable with which [Golden] writes files that are
// missing.
const updateGolden = "UPDATE_GOLDEN"

// Golden keeps one sample of each event as it is stored in the directory dir, in a file
// <name>.<schema>.golden, and checks that all of them, also those of older schemas, can be
// read for ever: a file of one of the samples must lead to the same state as the sample
// itself, from the state of an actor without events; the others must be read at all. With
// UPDATE_GOLDEN set in the environment the samples that have no file get one. A file is
// never overwritten: an event whose layout changes gets the next schema number.
func Golden[S any](tb testing.TB, dir string, events actorsys.Events[S], opts *actorsys.Options[S], samples ...actorsys.Event[S]) {
	tb.Helper()
	sampled := map[string]bool{}
	for _, e := range samples {
		s := For(tb, events, opts)
		want := s.Given(e).When(happened[S](nil)).state
		records, err := s.records()
		if err != nil || len(records) != 1 {
			tb.Fatalf("%T: %d records, %v", e, len(records), err)
		}
		name := fmt.Sprintf("%s.%d.golden", url.PathEscape(records[0].Type), records[0].Schema)
		sampled[name] = true
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); os.IsNotExist(err) && os.Getenv(updateGolden) != "" {
			if err := writeGolden(path, records[0].Payload); err != nil {
				tb.Fatal(err)
			}
		}
		got, err := For(tb, events, opts).golden(path)
		switch {
		case os.IsNotExist(err):
			tb.Errorf("%s is missing: run the test with %s=1, and keep the file", path, updateGolden)
		case err != nil:
			tb.Errorf("%s can't be read any more: %v", path, err)
		case !reflect.DeepEqual(got, want):
			tb.Errorf("%s leads to the state %+v, %+v to %+v: give the event the next schema, and read this one with Upcast", path, got, e, want)
		}
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.golden"))
	if err != nil {
		tb.Fatal(err)
	}
	for _, path := range paths {
		if sampled[filepath.Base(path)] {
			continue
		}
		if _, err := For(tb, events, opts).golden(path); err != nil {
			tb.Errorf("%s can't be read any more: %v", path, err)
		}
	}
}

func writeGolden(path string, payload []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, payload, 0o644)
}

// golden returns the state that a file's event leads to.
func (s *Scenario[S]) golden(path string) (state S, err error) {
	payload, err := os.ReadFile(path)
	if err != nil {
		return state, err
	}
	name, schema := strings.TrimSuffix(filepath.Base(path), ".golden"), uint64(0)
	dot := strings.LastIndexByte(name, '.')
	if dot > 0 {
		schema, err = strconv.ParseUint(name[dot+1:], 10, 32)
	}
	if dot <= 0 || err != nil {
		return state, fmt.Errorf("its name is not <event>.<schema>.golden")
	}
	if name, err = url.PathUnescape(name[:dot]); err != nil {
		return state, err
	}
	r := backend.Record{Type: name, Schema: uint32(schema), Payload: payload}
	if _, err := s.store.Append(context.Background(), backend.Batch{Stream: kind + "/" + id, Expected: backend.Any, Records: []backend.Record{r}}); err != nil {
		return state, err
	}
	return s.ask(s.store, &probe[S]{})
}

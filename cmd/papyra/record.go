package main

import (
	"strconv"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// appendNumbers appends the beginning of a record's JSON object: everything but
// the payload, in an order that never changes. The object is left open.
func appendNumbers(dst []byte, r *backend.Record) []byte {
	number := func(name string, n uint64) {
		dst = append(append(dst, name...), ':')
		dst = append(strconv.AppendUint(dst, n, 10), ',')
	}
	text := func(name, s string) {
		dst = append(append(dst, name...), ':')
		dst = append(appendString(dst, s), ',')
	}
	dst = append(dst, '{')
	number(`"position"`, uint64(r.Position))
	text(`"stream"`, r.Stream)
	number(`"version"`, uint64(r.Version))
	text(`"kind"`, r.Kind.String())
	text(`"type"`, r.Type)
	number(`"schema"`, uint64(r.Schema))
	text(`"time"`, r.Time.UTC().Format(time.RFC3339Nano))
	number(`"epoch"`, r.Epoch)
	dst = append(appendBatch(dst, r.Batch), ',')
	return appendMeta(dst, r.Meta)
}

func appendBatch(dst []byte, b backend.BatchRef) []byte {
	dst = append(dst, `"batch":{`...)
	if !b.ID.IsZero() {
		dst = append(append(append(dst, `"id":"`...), b.ID.String()...), `",`...)
	}
	dst = append(dst, `"place":`...)
	return append(strconv.AppendUint(dst, uint64(b.Place), 10), '}')
}

// appendRecord appends a record as one JSON object with all that an import needs.
func appendRecord(dst []byte, r *backend.Record) []byte {
	dst = append(appendNumbers(dst, r), ',')
	return append(appendPayload(dst, r.Payload), '}')
}

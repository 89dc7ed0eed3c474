package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/papyra-go/papyra/backend"
)

// previewBytes is about how much of a payload a line shows.
const previewBytes = 100

// isJSON reports whether a payload is JSON that can be shown as such.
func isJSON(payload []byte) bool { return utf8.Valid(payload) && json.Valid(payload) }

// verbatim reports whether a payload can stand in a line of JSON with the very
// bytes that it has, so that an import can take them back: it is JSON without
// white space outside its strings and without hidden characters.
func verbatim(payload []byte) bool {
	if !isJSON(payload) || bytes.ContainsFunc(payload, hidden) {
		return false
	}
	var buf bytes.Buffer
	return json.Compact(&buf, payload) == nil && bytes.Equal(buf.Bytes(), payload)
}

// appendPayload appends a payload as a field: "payload" with its own bytes where
// they are verbatim JSON, else "payload_base64".
func appendPayload(dst, payload []byte) []byte {
	if verbatim(payload) {
		dst = append(dst, `"payload":`...)
		return append(dst, payload...)
	}
	dst = append(dst, `"payload_base64":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, payload)
	return append(dst, '"')
}

// appendMeta appends the pairs in their order: "meta" if all are UTF-8, else
// "meta_base64".
func appendMeta(dst []byte, m backend.Meta) []byte {
	name, form := `"meta":[`, func(s string) string { return s }
	for k, v := range m.All() {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			name = `"meta_base64":[`
			form = func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
		}
	}
	dst = append(dst, name...)
	first := true
	for k, v := range m.All() {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendString(append(dst, '['), form(k))
		dst = append(appendString(append(dst, ','), form(v)), ']')
	}
	return append(dst, ']')
}

// preview is a payload in one line of printable characters: JSON as JSON, text in
// quotes, other bytes in hexadecimal. limit 0 shows all of it.
func preview(payload []byte, limit int) string {
	text, cut := rendered(payload, limit)
	if limit > 0 && !cut {
		text, cut = clip(text, limit)
	}
	if cut {
		text += fmt.Sprintf(" … (%d bytes)", len(payload))
	}
	return text
}

// rendered is a payload in one line, and whether it was cut: text and bytes are
// cut before they are turned into characters, JSON is not.
func rendered(payload []byte, limit int) (text string, cut bool) {
	switch {
	case len(payload) == 0:
		return "(empty)", false
	case isJSON(payload):
		var buf bytes.Buffer
		_ = json.Compact(&buf, payload) // it is valid
		return escapeUnprintable(buf.String()), false
	case utf8.Valid(payload):
		short, cut := string(payload), false
		if limit > 0 {
			short, cut = clip(short, limit)
		}
		return strconv.Quote(short), cut
	case limit > 0 && len(payload) > limit/2:
		return "hex:" + hex.EncodeToString(payload[:limit/2]), true
	}
	return "hex:" + hex.EncodeToString(payload), false
}

// escapeUnprintable is JSON whose strings show only what prints.
func escapeUnprintable(doc string) string {
	safe := make([]byte, 0, len(doc))
	for _, r := range doc {
		if unprintable(r) {
			safe = appendEscape(safe, r)
		} else {
			safe = utf8.AppendRune(safe, r)
		}
	}
	return string(safe)
}

package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// previewBytes is about how much of a payload a line shows.
const previewBytes = 100

// isJSON reports whether a payload is JSON that can be shown as such.
func isJSON(payload []byte) bool { return utf8.Valid(payload) && json.Valid(payload) }

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
		return string(escapeHidden(buf.Bytes())), false
	case utf8.Valid(payload):
		short, cut := string(payload), false
		if limit > 0 {
			short, cut = clip(short, limit)
		}
		return quoted(short), cut
	case limit > 0 && len(payload) > limit/2:
		return "hex:" + hex.EncodeToString(payload[:limit/2]), true
	}
	return "hex:" + hex.EncodeToString(payload), false
}

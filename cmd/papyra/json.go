package main

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/papyra-go/papyra/internal/lines"
)

// encode is v as one line of JSON without a line end, safe on a terminal.
func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return escapeHidden(bytes.TrimSuffix(buf.Bytes(), []byte("\n"))), nil
}

// document prints v as one indented JSON document.
func (a *app) document(v any) error {
	line, err := encode(v)
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	if err := json.Indent(&buf, line, "", "  "); err != nil {
		return err
	}
	buf.WriteByte('\n')
	_, err = a.out.Write(buf.Bytes())
	return err
}

// escapeHidden is JSON, on one line, with everything unprintable, which can only stand
// in strings, as \u escapes.
func escapeHidden(doc []byte) []byte {
	if !bytes.ContainsFunc(doc, unprintable) {
		return doc
	}
	safe := make([]byte, 0, len(doc)+16)
	for _, r := range string(doc) {
		if unprintable(r) {
			safe = lines.AppendEscape(safe, r)
		} else {
			safe = utf8.AppendRune(safe, r)
		}
	}
	return safe
}

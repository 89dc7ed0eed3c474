package main

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
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

// hidden reports whether r can do something to a terminal, to the order of the
// text or to the end of a line, though JSON lets it stand in a string as it is:
// DEL and the C1 controls, the Unicode line ends, the bidirectional overrides. The
// list is fixed, because the bytes of an export rest on it.
func hidden(r rune) bool {
	return r >= 0x7f && r <= 0x9f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// escapeHidden is JSON with hidden characters, which can only stand in strings,
// as \u escapes.
func escapeHidden(doc []byte) []byte {
	if !bytes.ContainsFunc(doc, hidden) {
		return doc
	}
	safe := make([]byte, 0, len(doc)+16)
	for _, r := range string(doc) {
		safe = appendRune(safe, r)
	}
	return safe
}

// appendRune appends r, escaped if it is hidden.
func appendRune(dst []byte, r rune) []byte {
	if hidden(r) {
		return appendEscape(dst, r)
	}
	return utf8.AppendRune(dst, r)
}

func appendEscape(dst []byte, r rune) []byte {
	if r > 0xffff {
		hi, lo := utf16.EncodeRune(r)
		return appendEscape(appendEscape(dst, hi), lo)
	}
	hex := strconv.FormatUint(uint64(r), 16)
	dst = append(dst, `\u0000`[:6-len(hex)]...)
	return append(dst, hex...)
}

// appendString appends s as a JSON string: the shortest form there is, except
// that control and hidden characters are \u escapes.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < 0x20:
			dst = appendEscape(dst, r)
		default:
			dst = appendRune(dst, r)
		}
	}
	return append(dst, '"')
}

package lines

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Hidden reports whether r can do something to a terminal, to the order of the
// text or to the end of a line, though JSON lets it stand in a string as it is:
// DEL and the C1 controls, the Unicode line ends, the bidirectional overrides. The
// list is fixed, because the bytes of an export rest on it.
func Hidden(r rune) bool {
	return r >= 0x7f && r <= 0x9f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// AppendRune appends r, as a \u escape if it is hidden.
func AppendRune(dst []byte, r rune) []byte {
	if Hidden(r) {
		return AppendEscape(dst, r)
	}
	return utf8.AppendRune(dst, r)
}

// AppendEscape appends r as a \u escape.
func AppendEscape(dst []byte, r rune) []byte {
	if r > 0xffff {
		hi, lo := utf16.EncodeRune(r)
		return AppendEscape(AppendEscape(dst, hi), lo)
	}
	hex := strconv.FormatUint(uint64(r), 16)
	dst = append(dst, `\u0000`[:6-len(hex)]...)
	return append(dst, hex...)
}

// AppendString appends s as a JSON string: the shortest form there is, except
// that control and hidden characters are \u escapes.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < 0x20:
			dst = AppendEscape(dst, r)
		default:
			dst = AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// verbatim reports whether a payload can stand in a line of JSON with the very
// bytes that it has, so that an import can take them back: it is JSON without
// white space outside its strings and without hidden characters.
func verbatim(payload []byte) bool {
	if !utf8.Valid(payload) || !json.Valid(payload) || bytes.ContainsFunc(payload, Hidden) {
		return false
	}
	inString := false
	for i := 0; i < len(payload); i++ {
		switch c := payload[i]; {
		case c == '"':
			inString = !inString
		case c == '\\':
			i++ // it can only stand in a string
		case !inString && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			return false
		}
	}
	return true
}

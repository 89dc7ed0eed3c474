package lines

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"testing"
)

func TestExportedPayloadsComeBackByteForByte(t *testing.T) {
	for _, c := range []struct {
		name, payload string
		verbatim      bool
	}{
		{"nothing", "", false},
		{"an object", `{"a":[1,2.50,1e400,"é\u0041"],"a":null}`, true},
		{"html", `"<a>&"`, true},
		{"white space between tokens", `{"a": 1}`, false},
		{"a line end", "1\n", false},
		{"two values", "1 2", false},
		{"invalid UTF-8 in a string", "\"\xff\"", false},
		{"a C1 control", "\"\u009b\"", false},
		{"DEL", "\"\x7f\"", false},
		{"a line separator", "\"\u2028\"", false},
		{"a bidirectional override", "\"\u202e\"", false},
		{"an escape of one", `"\u202e"`, true},
		{"a byte order mark", "\ufeff{}", false},
		{"text", "hello", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := verbatim([]byte(c.payload)); got != c.verbatim {
				t.Errorf("verbatim: %v, want %v", got, c.verbatim)
			}
			comesBack(t, []byte(c.payload))
		})
	}
}

func FuzzExportedPayloadsComeBackByteForByte(f *testing.F) {
	f.Add([]byte(`{"a":1}`))
	f.Add([]byte("\x1b[2J"))
	f.Fuzz(comesBack)
}

// comesBack checks the rule that docs/cli.md gives to importers: the bytes of
// "payload" as they stand, or "payload_base64" decoded.
func comesBack(t *testing.T, payload []byte) {
	line := append(appendPayload([]byte("{"), payload), '}')
	if bytes.ContainsFunc(line, Hidden) || bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' }) {
		t.Errorf("control characters in %q", line)
	}
	var fields struct {
		Payload json.RawMessage `json:"payload"`
		Base64  *string         `json:"payload_base64"`
	}
	if err := json.Unmarshal(line, &fields); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	got := []byte(fields.Payload)
	if fields.Base64 != nil {
		got, _ = base64.StdEncoding.DecodeString(*fields.Base64)
	}
	if !bytes.Equal(got, payload) {
		t.Errorf("%q came back as %q", payload, got)
	}
}

func TestJSONStringsAreReadBackAsTheyWere(t *testing.T) {
	for _, s := range []string{"", "plain", `q"b\`, "\x00\x1f\x7f\u009b", "\u2028\u202e\u2066", "日本 🎉", "<&>"} {
		var got string
		line := AppendString(nil, s)
		if err := json.Unmarshal(line, &got); err != nil || got != s {
			t.Errorf("%q came back as %q (%v) from %s", s, got, err, line)
		}
	}
}

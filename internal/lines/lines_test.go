package lines

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/papyra-go/papyra/backend"
)

// good is a line, and lines like it are made from it by replacing a part.
const good = `{"position":7,"stream":"account/ada","version":3,"kind":"event","type":"opened","schema":1,"time":"2026-01-02T03:04:06.5Z","epoch":2,"batch":{"id":"ab000000000000000000000000000001","place":0},"meta":[["by","eve"]],"payload":{"a":1}}`

func TestALineDecodesToWhatItWasMadeOf(t *testing.T) {
	meta, err := backend.MakeMeta("by", "\x1b[2J", "empty", "")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := backend.MakeMeta("raw", "\xff\xfe")
	if err != nil {
		t.Fatal(err)
	}
	base := backend.Record{Position: 1, Stream: "a", Version: 1, Kind: backend.Event, Time: time.Unix(0, 1).UTC()}
	for i, change := range []func(*backend.Record){
		func(*backend.Record) {},
		func(r *backend.Record) {
			r.Position, r.Version, r.Epoch, r.Schema = backend.MaxNumber, backend.MaxNumber, backend.MaxNumber, 1<<32-1
		},
		func(r *backend.Record) {
			r.Stream, r.Type, r.Meta = "evil \x1b[31m \u202e \"name\"\\ \U0001f600\u00ff", "\x01", meta
		},
		func(r *backend.Record) { r.Meta, r.Payload = raw, []byte{0, 0xff} },
		func(r *backend.Record) { r.Payload = []byte(`{"limit":1e400,"n":12345678901234567890,"s":"\u00e9\/"}`) },
		func(r *backend.Record) { r.Payload = []byte("{ \"cents\": 50 }\n") },
		func(r *backend.Record) { r.Payload = []byte(`"}"`) },
		func(r *backend.Record) { r.Payload = []byte(`{"a":"\\"}`) },
		func(r *backend.Record) { r.Payload = []byte("null") },
		func(r *backend.Record) { r.Kind, r.Version = backend.Snapshot, 9 },
		func(r *backend.Record) { r.Stream, r.Kind = "$sys/shop/deadletter", backend.DeadLetter },
		func(r *backend.Record) { r.Batch.Place = 1<<32 - 1 },
		func(r *backend.Record) { r.Batch.ID = backend.BatchID{15: 1} },
		func(r *backend.Record) { r.Time = time.Unix(0, -1<<63).UTC() },
		func(r *backend.Record) { r.Time = time.Unix(0, 1<<63-1).UTC() },
	} {
		r := base
		change(&r)
		line := AppendRecord(nil, &r)
		var d Decoder
		l, err := d.Decode(line)
		if err != nil {
			t.Errorf("%d: %v\n%s", i, err, line)
			continue
		}
		if r.Payload == nil {
			r.Payload = []byte{}
		}
		if len(l.Record.Payload) == 0 {
			l.Record.Payload = []byte{}
		}
		if !reflect.DeepEqual(*l.Record, r) {
			t.Errorf("%d: %+v, want %+v", i, *l.Record, r)
		}
	}
}

func TestABadLineSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{good, ``, "the line is empty"},
		{good, good[:40], "cut off after 40 bytes"},
		{good, `hello`, "not JSON: "},
		{good, "{\"position\":\"\xff\"}", "no UTF-8"},
		{good, "\x00\x01\x02", "not JSON"},
		{good, `{"a":1}`, `byte 1 is {"a":1}, want {"position":`},
		{good, `[1]`, `want {"position":`},
		{good, `{}`, `want {"position":`},
		{good, good + good, "not JSON"},
		{`7,`, `"7",`, `byte 13 is "7","stream":"accoun…, want a number for position`},
		{`7,`, `-7,`, "want a number for position"},
		{`7,`, `7.0,`, `is .0,"stream":"account…, want ,"stream":`},
		{`7,`, `7e2,`, `want ,"stream":`},
		{`7,`, `0,`, "position is 0: want 1 to"},
		{`7,`, `18446744073709551616,`, "position is above the highest"},
		{`7,`, `4611686018427387905,`, "want 1 to 4611686018427387904"},
		{`7,`, `null,`, "want a number for position"},
		{`7,`, `7, `, `want ,"stream":`},
		{`"account/ada"`, `12`, "want a string for stream"},
		{`"account/ada"`, `""`, "stream name is empty"},
		{`"account/ada"`, `"$sys/x"`, "names that begin with"},
		{`"account/ada"`, `"$sys/x/audit"`, "which holds kind audit"},
		{`"account/ada"`, `"a\u0000"`, "NUL"},
		{`"account/ada"`, `"\u0061"`, "in the form that an export gives it"},
		{`"account/ada"`, `"\ud800"`, "in the form that an export gives it"},
		{`"version":3`, `"version":0`, "version is 0"},
		{`"version":3`, `"Version":3`, `want ,"version":`},
		{`"version":3`, `"version":3,"version":3`, `want ,"kind":`},
		{`"event"`, `"metric"`, `kind "metric": want event, snapshot`},
		{`"event"`, `"audit"`, "kind audit in stream"},
		{`"event"`, `5`, "want a string for kind"},
		{`"schema":1`, `"schema":4294967296`, "schema is 4294967296"},
		{`"schema":1,`, ``, `want ,"schema":`},
		{`2026-01-02T03:04:06.5Z`, `2026-01-02T03:04:06.50Z`, "want RFC 3339 in UTC"},
		{`2026-01-02T03:04:06.5Z`, `2026-01-02T03:04:06.5+01:00`, "want RFC 3339 in UTC"},
		{`2026-01-02T03:04:06.5Z`, `0001-01-01T00:00:00Z`, "between the years 1678 and 2262"},
		{`2026-01-02T03:04:06.5Z`, `yesterday`, "want RFC 3339"},
		{`"epoch":2`, `"epoch":9223372036854775807`, "epoch is 9223372036854775807"},
		{`"ab000000000000000000000000000001"`, `"AB000000000000000000000000000001"`, "batch.id is not 32"},
		{`"ab000000000000000000000000000001"`, `"ab"`, "batch.id is not 32"},
		{`"ab000000000000000000000000000001"`, `""`, "batch.id is not 32"},
		{`"place":0`, `"place":4294967296`, "batch.place is"},
		{`"place":0`, `"place":1`, "only a batch's first record"},
		{`[["by","eve"]]`, `[["by"]]`, "is ]],"},
		{`[["by","eve"]]`, `{"by":"eve"}`, `want "meta":[`},
		{`[["by","eve"]]`, `[["by","eve"],["by","x"]]`, "stands twice"},
		{`[["by","eve"]]`, `[["","eve"]]`, "empty key"},
		{`"meta":[["by","eve"]]`, `"meta_base64":[["YnU=","YnU="]]`, "as it is all UTF-8"},
		{`"meta":[["by","eve"]]`, `"meta_base64":[["/w","YnU="]]`, "is not base64"},
		{`"payload":{"a":1}`, `"payload":{"a": 1}`, "JSON without white space"},
		{`"payload":{"a":1}`, `"payload":{"a":1},"x":2`, "JSON without white space"},
		{`"payload":{"a":1}`, `"payload_base64":"eyJhIjoxfQ=="`, "what stands in payload"},
		{`"payload":{"a":1}`, `"payload_base64":"!"`, "payload_base64 is not base64"},
		{`,"payload":{"a":1}`, ``, `want ,`},
		{good, `{"export":2}`, "export format 2: this papyra reads format 1"},
		{good, `{"export":1,"to":0}`, "to is 0"},
		{good, `{"export":1,"who":0}`, "want }"},
		{good, `{"position":1,"stream":"a","gone":{"version":0,"epoch":0}}`, "version is 0"},
		{good, `{"end":{"records":1,"gone":0,"last_position":1,"sha256":"12"}}`, "sha256 is not 64"},
		{good, `{"end":{"records":1,"gone":0}}`, `want ,"last_position":`},
	} {
		line := strings.Replace(good, c.old, c.new, 1)
		var d Decoder
		_, err := d.Decode([]byte(line))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n got: %v\nwant: %s", line, err, c.want)
		}
	}
}

// FuzzDecode holds the decoder to its word: what it takes encodes to the line that it was.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`{"export":1,"from":3,"to":9,"skip_damage":true}`))
	f.Add([]byte(`{"position":1,"stream":"a","gone":{"version":4,"epoch":0}}`))
	f.Add([]byte(`{"end":{"records":1,"gone":0,"last_position":1,"sha256":"` + strings.Repeat("0a", 32) + `"}}`))
	f.Add([]byte(strings.Replace(good, `"meta":[["by","eve"]],"payload":{"a":1}`, `"meta_base64":[["/w==",""]],"payload_base64":"AP8="`, 1)))
	f.Add([]byte(strings.Replace(good, `account/ada`, `\u001b\u202e😀`, 1)))
	f.Fuzz(func(t *testing.T, line []byte) {
		var d Decoder
		l, err := d.Decode(bytes.Clone(line))
		if err != nil {
			return
		}
		var again []byte
		switch {
		case l.Head != nil:
			again = AppendHead(nil, l.Head)
		case l.Gone != nil:
			again = AppendGone(nil, l.Gone)
		case l.End != nil:
			again = AppendEnd(nil, l.End)
		default:
			again = AppendRecord(nil, l.Record)
		}
		if !bytes.Equal(again, line) {
			t.Errorf("%q\nis encoded as\n%q", line, again)
		}
	})
}

func read(t *testing.T, in []byte) (got []string, end error) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(in), false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		line, err := r.Next()
		if errors.Is(err, ErrTooLong) {
			got = append(got, fmt.Sprint("too long: ", r.Number()))
			continue
		}
		if err != nil {
			return got, err
		}
		got = append(got, string(line))
		if r.Number() != len(got) {
			t.Errorf("line %d is called %d", len(got), r.Number())
		}
	}
}

func TestAReaderFindsLines(t *testing.T) {
	long := strings.Repeat("x", 3<<20)
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"", nil},
		{"\n", []string{""}},
		{"a\nb\n", []string{"a", "b"}},
		{"a\nb", []string{"a", "b"}},
		{"a\r\n\nb\n", []string{"a\r", "", "b"}},
		{"\xef\xbb\xbfa\n\xef\xbb\xbfb", []string{"a", "\xef\xbb\xbfb"}},
		{long + "\nb", []string{long, "b"}},
		{strings.Repeat("x", MaxLine+1) + "\nb\n" + strings.Repeat("y", MaxLine) + "\n" + strings.Repeat("z", MaxLine+9), []string{"too long: 1", "b", "too long: 3", "too long: 4"}},
	} {
		got, err := read(t, []byte(c.in))
		if err != io.EOF || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%.20q: %.80q, %v", c.in, got, err)
		}
	}
}

func TestAReaderReadsZstd(t *testing.T) {
	var buf bytes.Buffer
	z, err := zstd.NewWriter(&buf)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 9000 {
		fmt.Fprintf(z, "line %d %x\n", i, i*i*7919)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	packed := buf.Bytes()
	got, err := read(t, packed)
	if err != io.EOF || len(got) != 9000 {
		t.Fatalf("%d lines: %v", len(got), err)
	}
	got, err = read(t, packed[:len(packed)/2])
	if err == nil || err.Error() != "the compressed data is cut off" {
		t.Errorf("half of it: %d lines: %v", len(got), err)
	}
	for at := 6; at < len(packed); at += 499 {
		bad := bytes.Clone(packed)
		bad[at] ^= 0x10
		if got, err := read(t, bad); err == io.EOF {
			t.Errorf("byte %d changed: %d lines and no error", at, len(got))
		}
	}
	if _, err := NewReader(strings.NewReader("{}"), true); err == nil {
		t.Error("named .zst and not compressed: no error")
	}
}

package lines

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/papyra-go/papyra/backend"
)

// Line is one decoded line: the field that is not nil says of which sort.
type Line struct {
	Head   *Head
	Record *backend.Record // its bytes are the decoder's until the next line
	Gone   *Gone
	End    *End
}

// Decoder decodes lines. The zero Decoder is ready; what it returns is good until the
// next call.
type Decoder struct {
	b    []byte // the line
	at   int
	err  error
	buf  []byte // decoded payload and meta
	line struct {
		head   Head
		record backend.Record
		gone   Gone
		end    End
	}
}

// Decode decodes one line, without its line end. The error says at which byte it is not
// as an export writes it.
func (d *Decoder) Decode(line []byte) (Line, error) {
	d.b, d.at, d.err, d.buf = line, 0, nil, d.buf[:0]
	var l Line
	switch {
	case d.take(`{"position":`):
		l = d.numbered()
	case d.take(`{"export":`):
		l.Head = d.head()
	case d.take(`{"end":{"records":`):
		l.End = d.end()
	default:
		d.want(`{"position":`)
	}
	if d.err == nil && d.at != len(d.b) {
		d.want("the end of the line")
	}
	if d.err != nil {
		return Line{}, d.err
	}
	return l, nil
}

// take goes past s if it stands here.
func (d *Decoder) take(s string) bool {
	if d.err != nil || len(d.b)-d.at < len(s) || string(d.b[d.at:d.at+len(s)]) != s {
		return false
	}
	d.at += len(s)
	return true
}

// must goes past s, which must stand here.
func (d *Decoder) must(s string) {
	if !d.take(s) {
		d.want(s)
	}
}

// want notes that something else stands here; the first note stays.
func (d *Decoder) want(what string) {
	if d.err != nil {
		return
	}
	var syntax *json.SyntaxError
	var any json.RawMessage
	switch err := json.Unmarshal(d.b, &any); {
	case len(d.b) == 0:
		d.err = errors.New("the line is empty")
	case !utf8.Valid(d.b):
		d.err = errors.New("not JSON: bytes that are no UTF-8")
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(d.b)) && strings.Contains(syntax.Error(), "unexpected end"):
		d.err = fmt.Errorf("the line is cut off after %d bytes", len(d.b))
	case err != nil:
		d.err = fmt.Errorf("not JSON: %v", err)
	default:
		d.err = fmt.Errorf("not as an export writes it: byte %d is %s, want %s", d.at+1, d.here(), what)
	}
}

// here is a little of what stands here.
func (d *Decoder) here() string {
	rest := string(d.b[d.at:])
	if rest == "" {
		return "the end of the line"
	}
	if len(rest) > 20 {
		rest = rest[:20]
		for len(rest) > 0 && !utf8.ValidString(rest) {
			rest = rest[:len(rest)-1]
		}
		rest += "…"
	}
	return rest
}

// fail notes an error of what was read.
func (d *Decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

// number reads a number without a sign, a fraction or leading zeros.
func (d *Decoder) number(name string) uint64 {
	from, n := d.at, uint64(0)
	for d.at < len(d.b) && d.b[d.at] >= '0' && d.b[d.at] <= '9' {
		digit := uint64(d.b[d.at] - '0')
		if n > (1<<64-1-digit)/10 {
			d.fail("%s is above the highest there is", name)
			return 0
		}
		n = n*10 + digit
		d.at++
	}
	if d.err == nil && (d.at == from || d.b[from] == '0' && d.at > from+1) {
		d.at = from
		d.want("a number for " + name)
	}
	return n
}

// raw reads a JSON string and returns it with its quotes.
func (d *Decoder) raw(name string) []byte {
	from := d.at
	if !d.take(`"`) {
		d.want("a string for " + name)
		return nil
	}
	for ; d.at < len(d.b); d.at++ {
		switch d.b[d.at] {
		case '\\':
			d.at++
		case '"':
			d.at++
			return d.b[from:d.at]
		}
	}
	d.at = from
	d.want("a string for " + name)
	return nil
}

// text reads a JSON string, which must have the form that AppendString gives it.
func (d *Decoder) text(name string) string {
	from := d.at
	raw := d.raw(name)
	if d.err != nil {
		return ""
	}
	plain := true
	for _, c := range raw[1 : len(raw)-1] {
		plain = plain && c >= 0x20 && c < 0x7f && c != '\\'
	}
	if plain {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	if !utf8.Valid(raw) || json.Unmarshal(raw, &s) != nil || string(AppendString(nil, s)) != string(raw) {
		d.at = from
		d.want("the string for " + name + " in the form that an export gives it")
	}
	return s
}

// bytes reads standard base64 with padding into the decoder's buffer.
func (d *Decoder) bytes(name string) []byte {
	raw := d.raw(name)
	if d.err != nil {
		return nil
	}
	from := len(d.buf)
	buf, err := base64.StdEncoding.Strict().AppendDecode(d.buf, raw[1:len(raw)-1])
	if err != nil || base64.StdEncoding.EncodedLen(len(buf)-from) != len(raw)-2 {
		d.fail("%s is not base64", name)
		return nil
	}
	d.buf = buf
	return buf[from:len(buf):len(buf)]
}

func (d *Decoder) head() *Head {
	h := &d.line.head
	*h = Head{Format: d.number("export")}
	if d.err == nil && h.Format != Format {
		d.fail("%w: export format %d: this papyra reads format %d", backend.ErrFormat, h.Format, Format)
		return nil
	}
	if d.take(`,"from":`) {
		h.From = backend.Position(d.positive("from"))
	}
	if d.take(`,"to":`) {
		h.To = backend.Position(d.positive("to"))
	}
	h.SkipsDamage = d.take(`,"skip_damage":true`)
	d.must(`}`)
	return h
}

// positive reads a number from 1.
func (d *Decoder) positive(name string) uint64 {
	n := d.number(name)
	if n == 0 || n > backend.MaxNumber {
		d.fail("%s is %d: want 1 to %d", name, n, uint64(backend.MaxNumber))
	}
	return n
}

func (d *Decoder) end() *End {
	e := &d.line.end
	*e = End{Records: d.number("records")}
	d.must(`,"gone":`)
	e.Gone = d.number("gone")
	d.must(`,"last_position":`)
	e.Last = backend.Position(d.number("last_position"))
	if d.take(`,"sha256":`) {
		e.Sum = d.text("sha256")
		if sum, err := hex.DecodeString(e.Sum); d.err == nil && (err != nil || len(sum) != 32 || strings.ToLower(e.Sum) != e.Sum) {
			d.fail("sha256 is not 64 hexadecimal digits")
		}
	}
	d.must(`}}`)
	return e
}

// numbered reads what is left of a line that begins with a position.
func (d *Decoder) numbered() Line {
	position := backend.Position(d.positive("position"))
	d.must(`,"stream":`)
	stream := d.text("stream")
	if err := backend.CheckStream(stream); err != nil && d.err == nil {
		d.err = err
	}
	if d.take(`,"gone":{"version":`) {
		g := &d.line.gone
		*g = Gone{Position: position, Stream: stream, Version: backend.Version(d.positive("version"))}
		d.must(`,"epoch":`)
		g.Epoch = d.epoch()
		d.must(`}}`)
		return Line{Gone: g}
	}
	r := &d.line.record
	*r = backend.Record{Position: position, Stream: stream}
	d.record(r)
	return Line{Record: r}
}

func (d *Decoder) epoch() uint64 {
	n := d.number("epoch")
	if n > backend.MaxNumber {
		d.fail("epoch is %d: want at most %d", n, uint64(backend.MaxNumber))
	}
	return n
}

// record reads a record from its version on.
func (d *Decoder) record(r *backend.Record) {
	d.must(`,"version":`)
	r.Version = backend.Version(d.positive("version"))
	d.must(`,"kind":`)
	name := d.text("kind")
	kind, err := backend.ParseKind(name)
	own := backend.KindOf(r.Stream)
	switch {
	case d.err != nil:
	case err != nil:
		d.err = err
	case kind != own && (kind != backend.Snapshot || own != backend.Event):
		d.fail("%w: kind %v in stream %.80q, which holds kind %v", backend.ErrInvalid, kind, r.Stream, own)
	}
	r.Kind = kind
	d.must(`,"type":`)
	if r.Type = d.text("type"); len(r.Type) > backend.MaxTypeBytes {
		d.fail("type of %d bytes: at most %d", len(r.Type), backend.MaxTypeBytes)
	}
	d.must(`,"schema":`)
	schema := d.number("schema")
	if r.Schema = uint32(schema); uint64(r.Schema) != schema {
		d.fail("schema is %d: want at most %d", schema, uint32(1<<32-1))
	}
	d.must(`,"time":`)
	r.Time = d.time()
	d.must(`,"epoch":`)
	r.Epoch = d.epoch()
	d.must(`,"batch":{`)
	d.batch(&r.Batch)
	d.must(`},`)
	r.Meta = d.meta()
	d.must(`,`)
	r.Payload = d.payload()
}

func (d *Decoder) time() time.Time {
	s := d.text("time")
	t, err := time.Parse(time.RFC3339Nano, s)
	if d.err == nil && (err != nil || t.UTC().Format(time.RFC3339Nano) != s) {
		d.fail("time %.40q: want RFC 3339 in UTC, such as 2026-01-02T03:04:05.6Z", s)
	}
	if d.err == nil && !t.Equal(time.Unix(0, t.UnixNano())) {
		d.fail("time %.40q: want one between the years 1678 and 2262", s)
	}
	return t.UTC()
}

func (d *Decoder) batch(b *backend.BatchRef) {
	if d.take(`"id":`) {
		s := d.text("batch.id")
		n, err := hex.Decode(b.ID[:], []byte(s[:min(len(s), 32)]))
		if d.err == nil && (err != nil || n != 16 || b.ID.IsZero() || b.ID.String() != s) {
			d.fail("batch.id is not 32 hexadecimal digits")
		}
		d.must(`,`)
	}
	d.must(`"place":`)
	place := d.number("batch.place")
	if b.Place = uint32(place); uint64(b.Place) != place || place > 0 && !b.ID.IsZero() {
		d.fail("batch.place is %d: only a batch's first record, at place 0, has its id", place)
	}
}

// meta reads the pairs.
func (d *Decoder) meta() backend.Meta {
	from := d.at
	coded := d.take(`"meta_base64":[`)
	if !coded {
		d.must(`"meta":[`)
	}
	var pairs []string
	one := func(name string) string {
		if coded {
			return string(d.bytes(name))
		}
		return d.text(name)
	}
	for d.err == nil && !d.take(`]`) {
		if len(pairs) > 0 {
			d.must(`,`)
		}
		d.must(`[`)
		k := one("a key of meta")
		d.must(`,`)
		pairs = append(pairs, k, one("a value of meta"))
		d.must(`]`)
	}
	if d.err != nil || len(pairs) == 0 && !coded {
		return nil
	}
	m, err := backend.MakeMeta(pairs...)
	if err != nil {
		d.err = err
	} else if again := appendMeta(nil, m); string(again) != string(d.b[from:d.at]) {
		d.at = from
		d.want("meta, as it is all UTF-8")
	}
	return m
}

// payload reads the payload and the end of the object.
func (d *Decoder) payload() []byte {
	if d.take(`"payload_base64":`) {
		p := d.bytes("payload_base64")
		if d.err == nil && verbatim(p) {
			d.fail("payload_base64 holds what stands in payload in an export")
		}
		d.must(`}`)
		return p
	}
	d.must(`"payload":`)
	if d.err != nil {
		return nil
	}
	end := len(d.b) - 1
	if end < d.at || d.b[end] != '}' || !verbatim(d.b[d.at:end]) {
		d.want("JSON without white space for payload, and the end of the object")
		return nil
	}
	p := d.b[d.at:end:end]
	d.at = len(d.b)
	return p
}

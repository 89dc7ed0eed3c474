package lines

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/papyra-go/papyra/backend"
)

// AppendNumbers appends the beginning of a record's JSON object: everything but
// the payload, in an order that never changes. The object is left open.
func AppendNumbers(dst []byte, r *backend.Record) []byte {
	dst = appendNumber(append(dst, '{'), `"position":`, uint64(r.Position))
	dst = appendText(dst, `,"stream":`, r.Stream)
	dst = appendNumber(dst, `,"version":`, uint64(r.Version))
	dst = appendText(dst, `,"kind":`, r.Kind.String())
	dst = appendText(dst, `,"type":`, r.Type)
	dst = appendNumber(dst, `,"schema":`, uint64(r.Schema))
	dst = append(dst, `,"time":"`...)
	dst = r.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = appendNumber(dst, `","epoch":`, r.Epoch)
	dst = append(appendBatch(dst, r.Batch), ',')
	return appendMeta(dst, r.Meta)
}

func appendNumber(dst []byte, name string, n uint64) []byte {
	return strconv.AppendUint(append(dst, name...), n, 10)
}

func appendText(dst []byte, name, s string) []byte {
	return AppendString(append(dst, name...), s)
}

func appendBatch(dst []byte, b backend.BatchRef) []byte {
	dst = append(dst, `,"batch":{`...)
	if !b.ID.IsZero() {
		dst = append(append(append(dst, `"id":"`...), b.ID.String()...), `",`...)
	}
	return append(appendNumber(dst, `"place":`, uint64(b.Place)), '}')
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
		dst = AppendString(append(dst, '['), form(k))
		dst = append(AppendString(append(dst, ','), form(v)), ']')
	}
	return append(dst, ']')
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

// AppendRecord appends a record as one JSON object with all that an import needs.
func AppendRecord(dst []byte, r *backend.Record) []byte {
	dst = append(AppendNumbers(dst, r), ',')
	return append(appendPayload(dst, r.Payload), '}')
}

// Gone is a stream that stood at a version when all that it held was taken away: what
// follows in it has the version after, and an epoch not below. It stands at a position
// that is free, below that of whatever is left of the stream.
type Gone struct {
	Position backend.Position
	Stream   string
	Version  backend.Version
	Epoch    uint64
}

// AppendGone appends g as one JSON object.
func AppendGone(dst []byte, g *Gone) []byte {
	dst = appendNumber(dst, `{"position":`, uint64(g.Position))
	dst = appendText(dst, `,"stream":`, g.Stream)
	dst = appendNumber(dst, `,"gone":{"version":`, uint64(g.Version))
	dst = appendNumber(dst, `,"epoch":`, g.Epoch)
	return append(dst, `}}`...)
}

// Head is an export's head line. The bounds are those that were asked for; zero where
// none was.
type Head struct {
	Format      uint64
	From, To    backend.Position
	SkipsDamage bool // what could not be read is left out
}

// Whole reports whether the export holds all that the store did.
func (h *Head) Whole() bool { return h.From <= 1 && h.To == 0 && !h.SkipsDamage }

// AppendHead appends h as one JSON object.
func AppendHead(dst []byte, h *Head) []byte {
	dst = appendNumber(dst, `{"export":`, h.Format)
	if h.From > 0 {
		dst = appendNumber(dst, `,"from":`, uint64(h.From))
	}
	if h.To > 0 {
		dst = appendNumber(dst, `,"to":`, uint64(h.To))
	}
	if h.SkipsDamage {
		dst = append(dst, `,"skip_damage":true`...)
	}
	return append(dst, '}')
}

// End is an export's last line.
type End struct {
	Records, Gone uint64           // lines of each sort
	Last          backend.Position // the newest position that the store has given; of a part, the last there is
	Sum           string           // SHA-256 of all lines before, in hexadecimal; empty: not said
}

// AppendEnd appends e as one JSON object.
func AppendEnd(dst []byte, e *End) []byte {
	dst = appendNumber(dst, `{"end":{"records":`, e.Records)
	dst = appendNumber(dst, `,"gone":`, e.Gone)
	dst = appendNumber(dst, `,"last_position":`, uint64(e.Last))
	if e.Sum != "" {
		dst = appendText(dst, `,"sha256":`, e.Sum)
	}
	return append(dst, `}}`...)
}

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
)

// The forms in which a payload is shown whole.
const (
	asAuto = "auto" // JSON if it is JSON, text if it is text, else hexadecimal
	asJSON = "json"
	asText = "text"
	asHex  = "hex"
)

var payloadForms = []string{asAuto, asJSON, asText, asHex}

// recordFlags say which record to show, and how.
type recordFlags struct {
	position uint64
	stream   string
	version  uint64
	snapshot bool
	as       string
}

// recordShape is what inspect record says.
type recordShape struct {
	header
	Record json.RawMessage `json:"record"`
}

func (a *app) recordCommand() *cobra.Command {
	var f recordFlags
	c := &cobra.Command{
		Use:   "record {POSITION | STREAM VERSION}",
		Short: "Show one record whole",
		Long: `record shows all there is of one record: every field, and the payload from its
first byte to its last. The record is named by its position in the store, or by its
stream and version there; with --snapshot it is the stream's newest snapshot of
that version or one below.`,
		Example:           "  papyra inspect record 1017 --store file:///var/lib/app\n  papyra inspect record order-17 3 --as hex\n  papyra inspect record order-17 3 --snapshot --format json",
		Args:              f.arguments,
		ValidArgsFunction: a.completeStream,
		RunE:              func(c *cobra.Command, _ []string) error { return a.record(c.Context(), f) },
	}
	c.Flags().StringVar(&f.as, "as", asAuto, "show the payload in this `form`: auto, json, text or hex")
	c.Flags().BoolVar(&f.snapshot, "snapshot", false, "the stream's snapshot of that version, or the newest below")
	completes(c, "as", payloadForms...)
	return c
}

// arguments reads which record it is.
func (f *recordFlags) arguments(c *cobra.Command, args []string) (err error) {
	switch len(args) {
	case 1:
		if f.snapshot {
			return errors.New("--snapshot goes with a STREAM and a VERSION, got one argument")
		}
		f.position, err = numberFrom1("position", args[0])
		return err
	case 2:
		if err := backend.CheckStream(args[0]); err != nil {
			return err
		}
		f.stream = args[0]
		f.version, err = numberFrom1("version", args[1])
		return err
	}
	return fmt.Errorf("%s takes a POSITION, or a STREAM and a VERSION, got %s", c.CommandPath(), count(len(args), "argument"))
}

func numberFrom1(what, text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%s %s: want a number from 1", what, given(text))
	}
	return n, nil
}

func (a *app) record(ctx context.Context, f recordFlags) error {
	if !slices.Contains(payloadForms, f.as) {
		return usagef("--as %s: want auto, json, text or hex", value(f.as))
	}
	b, p, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	r, err := f.find(ctx, b)
	if err != nil {
		return err
	}
	if a.format == formatJSON {
		doc, err := wholeJSON(&r, f.as)
		if err != nil {
			return err
		}
		return a.document(recordShape{headerOf("papyra.record/1", p, b), doc})
	}
	return a.printRecord(&r, f.as)
}

// find returns the record that is asked for, or says why there is none.
func (f *recordFlags) find(ctx context.Context, b *backend.Backend) (backend.Record, error) {
	switch {
	case f.snapshot:
		r, err := b.Snapshot(ctx, f.stream, backend.Version(f.version))
		return r, hint(err, backend.ErrNotFound, "papyra inspect snapshots shows those that there are")
	case f.stream != "":
		return f.inStream(ctx, b)
	}
	return f.inStore(ctx, b)
}

func (f *recordFlags) inStore(ctx context.Context, b *backend.Backend) (backend.Record, error) {
	q := backend.Query{From: f.position, To: f.position, Kinds: backend.AllKinds}
	if r, found, err := only(ctx, b, q); found || err != nil {
		return r, err
	}
	last, err := b.Last(ctx)
	switch {
	case err != nil:
		return backend.Record{}, err
	case backend.Position(f.position) > last:
		err = fmt.Errorf("%w: position %d: the last in the store is %d", backend.ErrNotFound, f.position, last)
	default:
		err = fmt.Errorf("%w: position %d: no record has it, or none has it any more", backend.ErrNotFound, f.position)
	}
	return backend.Record{}, &hinted{"papyra inspect events shows those that there are", err}
}

func (f *recordFlags) inStream(ctx context.Context, b *backend.Backend) (backend.Record, error) {
	q := backend.Query{Stream: f.stream, From: f.version, To: f.version}
	r, found, err := only(ctx, b, q)
	if found || err != nil {
		return r, hint(err, backend.ErrCompacted, "papyra inspect stream shows those that are left")
	}
	h, err := b.Head(ctx, f.stream)
	switch {
	case err != nil:
		return r, err
	case h == backend.Head{}:
		return r, &hinted{"papyra inspect streams lists them", fmt.Errorf("%w: there is no stream %s", backend.ErrNotFound, value(f.stream))}
	}
	return r, &hinted{"papyra inspect stream shows those that there are", fmt.Errorf("%w: %s version %d: the stream is at version %d", backend.ErrNotFound, value(f.stream), f.version, h.Version)}
}

// only returns the first record of q, if there is one.
func only(ctx context.Context, b *backend.Backend, q backend.Query) (r backend.Record, found bool, err error) {
	q.Limit = 1
	for r, err := range b.Read(ctx, q) {
		return r.Clone(), err == nil, err
	}
	return r, false, nil
}

// wholeJSON is a record as one JSON object, its payload in the form asked for.
func wholeJSON(r *backend.Record, as string) (json.RawMessage, error) {
	if err := fits(r.Payload, as); err != nil {
		return nil, err
	}
	row := fmt.Appendf(appendNumbers(nil, r), `,"payload_bytes":%d,`, len(r.Payload))
	switch {
	case as == asHex:
		row = fmt.Appendf(row, `"payload_hex":"%x"`, r.Payload)
	case as == asText:
		row = appendString(append(row, `"payload_text":`...), string(r.Payload))
	case isJSON(r.Payload):
		row = append(append(row, `"payload":`...), r.Payload...)
	default:
		row = append(row, `"payload_base64":"`...)
		row = append(base64.StdEncoding.AppendEncode(row, r.Payload), '"')
	}
	return append(row, '}'), nil
}

// fits says why a payload can't be shown in the form asked for.
func fits(payload []byte, as string) error {
	switch {
	case as == asJSON && !isJSON(payload):
		return &hinted{"leave --as out, or ask for --as hex", fmt.Errorf("the payload, of %s, is not JSON", count(len(payload), "byte"))}
	case as == asText && !utf8.Valid(payload):
		return &hinted{"leave --as out, or ask for --as hex", fmt.Errorf("the payload, of %s, is not text in UTF-8", count(len(payload), "byte"))}
	}
	return nil
}

func (a *app) printRecord(r *backend.Record, as string) error {
	if err := fits(r.Payload, as); err != nil {
		return err
	}
	row := func(name, format string, args ...any) {
		fmt.Fprintf(a.out, "%s %s\n", a.paint(dim, fmt.Sprintf("%-9s", name)), fmt.Sprintf(format, args...))
	}
	row("position", "%d", r.Position)
	row("stream", "%s", show(r.Stream))
	row("version", "%d", r.Version)
	row("kind", "%v", r.Kind)
	row("type", "%s", show(r.Type))
	row("schema", "%d", r.Schema)
	row("time", "%s", r.Time.UTC().Format(time.RFC3339Nano))
	row("epoch", "%d", r.Epoch)
	id := ""
	if !r.Batch.ID.IsZero() {
		id = ", ID " + r.Batch.ID.String()
	}
	row("batch", "place %d%s", r.Batch.Place, id)
	name := "meta"
	for k, v := range r.Meta.All() {
		row(name, "%s=%s", show(k), show(v))
		name = ""
	}
	form, text := whole(r.Payload, as)
	row("payload", "%s%s", count(len(r.Payload), "byte"), form)
	_, err := a.out.WriteString(text)
	return err
}

// whole is a payload in the form asked for, in lines of printable characters, and what
// form that is.
func whole(payload []byte, as string) (form, text string) {
	switch {
	case len(payload) == 0:
		return "", ""
	case as == asJSON, as == asAuto && isJSON(payload):
		var compact, lines bytes.Buffer
		_ = json.Compact(&compact, payload) // it is valid
		_ = json.Indent(&lines, escapeHidden(compact.Bytes()), "", "  ")
		return ", as JSON", lines.String() + "\n"
	case as == asText, as == asAuto && utf8.Valid(payload):
		lines := strings.Split(strings.TrimSuffix(string(payload), "\n"), "\n")
		for i := range lines {
			lines[i] = printable(lines[i])
		}
		return ", as text", strings.Join(lines, "\n") + "\n"
	}
	return ", in hexadecimal", hex.Dump(payload)
}

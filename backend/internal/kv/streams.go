package kv

import (
	"context"
	"errors"
	"iter"
	"strings"

	"github.com/papyra-go/papyra/backend"
)

// pageStreams is how many streams one view lists.
const pageStreams = 512

// Streams lists the streams, page by page.
func (l *Log) Streams(ctx context.Context, q backend.StreamQuery) iter.Seq2[backend.StreamInfo, error] {
	return func(yield func(backend.StreamInfo, error) bool) {
		left := q.Limit
		for {
			want := pageStreams
			if q.Limit > 0 {
				want = min(want, left)
			}
			list, err := l.list(q, want)
			if ctx.Err() != nil {
				err = errors.Join(context.Cause(ctx), err)
			}
			for _, info := range list {
				if !yield(info, nil) {
					return
				}
				q.After = info.Name
			}
			if err != nil {
				yield(backend.StreamInfo{}, err)
				return
			}
			if left -= len(list); len(list) < want || q.Limit > 0 && left <= 0 {
				return
			}
		}
	}
}

// list returns at most so many streams. What comes with an error is sound.
func (l *Log) list(q backend.StreamQuery, most int) (out []backend.StreamInfo, err error) {
	err = l.engine.View(func(s Snapshot) error {
		c := s.Cursor([]byte{tableStreams}, after(tableStreams))
		defer c.Close()
		var buf buffers
		names := s.Cursor([]byte{tableNames}, after(tableNames))
		defer names.Close()
		seek, known := append([]byte{tableStreams}, q.Prefix...), append([]byte{tableNames}, q.Prefix...)
		if q.Prefix == "" {
			known = firstName
		}
		if q.After >= q.Prefix && q.After != "" {
			seek, known = behind(nil, q.After), append(appendNameKey(nil, q.After), 0)
		}
		for len(out) < most {
			name, err := l.nextStream(c, names, seek, known)
			if err == nil && name == "" && lossy(s) {
				return l.corrupt("", 0, 0, "whether there are more streams can't be told: a part of the store is lost")
			}
			if err != nil || name == "" || !strings.HasPrefix(name, q.Prefix) {
				return err
			}
			h, found, err := l.readHead(s, name, &buf)
			if err == nil && !found {
				err = l.headless(s, name, &buf)
			}
			if err != nil {
				return err
			}
			if was, doubtful := l.before(name); doubtful {
				h, found = was, was.Head != backend.Head{}
			}
			if found {
				out = append(out, backend.StreamInfo{Name: name, Head: h.Head})
			}
			seek, known = behind(seek[:0], name), append(appendNameKey(nil, name), 0)
		}
		return nil
	})
	return out, err
}

// nextStream returns the next stream, of which there are keys and a name; empty: there is
// none.
func (l *Log) nextStream(c, names Cursor, seek, known []byte) (string, error) {
	stream, name := "", ""
	if c.Seek(seek) {
		k, ok := parseStreamKey(c.Key())
		if !ok {
			return "", l.corrupt("", 0, 0, "a key among the streams is none")
		}
		stream = string(k.name)
	}
	if names.Seek(known) {
		name = string(names.Key()[1:])
	}
	switch err := errors.Join(c.Err(), names.Err()); {
	case err != nil:
		return "", err
	case name == stream:
		return name, nil
	case name == "" || stream != "" && stream < name:
		return "", l.corrupt(stream, 0, 0, "the stream is missing among the streams' names")
	default:
		return "", l.corrupt(name, 0, 0, "there is such a stream, and nothing of it is there")
	}
}

package backend

import (
	"context"
	"fmt"
	"iter"
)

// pageStreams is how many streams are listed at a time.
const pageStreams = 512

// Streams lists the streams, in the bytewise order of their names, page by page:
// a stream that is created while the loop runs may or may not be in it. The loop
// body may call anything. An error ends the loop.
func (b *Backend) Streams(ctx context.Context, q StreamQuery) iter.Seq2[StreamInfo, error] {
	return func(yield func(StreamInfo, error) bool) {
		ctx, done := b.observe(ctx, Call{Op: OpStreams})
		err := b.wrap(ctx, OpStreams, "", b.streams(ctx, q, yield))
		done(err)
		if err != nil {
			yield(StreamInfo{}, err)
		}
	}
}

func (b *Backend) streams(ctx context.Context, q StreamQuery, yield func(StreamInfo, error) bool) error {
	if q.Limit < 0 {
		return fmt.Errorf("%w: Limit is %d: want 0 (no limit) or more", ErrInvalid, q.Limit)
	}
	left, unlimited := q.Limit, q.Limit == 0
	var page []StreamInfo
	for {
		page = page[:0]
		q.Limit = pageStreams
		if !unlimited {
			q.Limit = min(q.Limit, left)
		}
		err := b.call(ctx, func() error {
			for s, err := range b.driver.Streams(ctx, q) {
				if err != nil {
					return err
				}
				page = append(page, s)
			}
			return nil
		})
		for _, s := range page {
			if !yield(s, nil) {
				return nil
			}
		}
		left -= len(page)
		if err != nil || len(page) < q.Limit || !unlimited && left <= 0 {
			return err
		}
		q.After = page[len(page)-1].Name
	}
}

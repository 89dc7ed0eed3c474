package transfer

import (
	"bytes"
	"context"
	"fmt"
	"iter"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/internal/lines"
)

// Compare reads two stores side by side, as they would be exported, and returns how many
// items they share; the first difference is a [*DiffersError] about the second. told is
// called now and then with the position that it is at.
func Compare(ctx context.Context, a, b *backend.Backend, told func(backend.Position)) (items uint64, err error) {
	one, stopOne := iter.Pull2(Items(ctx, a))
	defer stopOne()
	two, stopTwo := iter.Pull2(Items(ctx, b))
	defer stopTwo()
	var x, y []byte
	for {
		i, err, ok := one()
		if err != nil {
			return items, err
		}
		j, err, other := two()
		if err != nil {
			return items, err
		}
		if !ok && !other {
			break
		}
		x, y = appendItem(x[:0], i), appendItem(y[:0], j)
		if !bytes.Equal(x, y) {
			return items, differs(i, j)
		}
		items++
		told(positionOf(i))
	}
	return items, sameLast(ctx, a, b)
}

func sameLast(ctx context.Context, a, b *backend.Backend) error {
	one, err := a.Last(ctx)
	if err != nil {
		return err
	}
	two, err := b.Last(ctx)
	if err == nil && one != two {
		err = &DiffersError{two, fmt.Sprintf("it is the newest that it has given, and should be %d", one)}
	}
	return err
}

func appendItem(dst []byte, item lines.Line) []byte {
	switch {
	case item.Gone != nil:
		return lines.AppendGone(dst, item.Gone)
	case item.Record != nil:
		return lines.AppendRecord(dst, item.Record)
	}
	return dst
}

// differs says where two items that differ do so.
func differs(want, got lines.Line) error {
	switch {
	case got == (lines.Line{}):
		return &DiffersError{positionOf(want), "nothing, where " + describe(want) + " should be"}
	case want == (lines.Line{}):
		return &DiffersError{positionOf(got), describe(got) + ", where nothing should be"}
	case positionOf(want) < positionOf(got):
		return &DiffersError{positionOf(want), "nothing, where " + describe(want) + " should be"}
	case positionOf(want) > positionOf(got):
		return &DiffersError{positionOf(got), describe(got) + ", where nothing should be"}
	}
	return &DiffersError{positionOf(want), describe(got) + ", which is not the same as " + describe(want)}
}

func describe(item lines.Line) string {
	if g := item.Gone; g != nil {
		return fmt.Sprintf("stream %.80q gone up to version %d", g.Stream, g.Version)
	}
	return fmt.Sprintf("%s of stream %.80q", named(item.Record), item.Record.Stream)
}

package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/papyra-go/papyra/backend"
)

// streamShape is one stream in a listing.
type streamShape struct {
	Stream  string          `json:"stream"`
	Version backend.Version `json:"version"`
	Floor   backend.Version `json:"floor"`
	Epoch   uint64          `json:"epoch"`
}

func (a *app) streamsCommand() *cobra.Command {
	var q backend.StreamQuery
	c := &cobra.Command{
		Use:   "streams",
		Short: "List the streams, by name",
		Long: `streams lists the streams in the bytewise order of their names: the newest
version, the floor (the oldest version that is left) and the newest epoch.`,
		Example: "  papyra inspect streams --store file:///var/lib/app --prefix order- --limit 20\n  papyra inspect streams --after order-20",
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return a.streams(c.Context(), q) },
	}
	c.Flags().StringVar(&q.Prefix, "prefix", "", "only streams whose `name` begins so")
	c.Flags().StringVar(&q.After, "after", "", "only streams whose name is above this `name`")
	c.Flags().IntVar(&q.Limit, "limit", 0, "at most so many (0: all)")
	return c
}

func (a *app) streams(ctx context.Context, q backend.StreamQuery) error {
	if err := notNegative(q.Limit); err != nil {
		return err
	}
	if err := nameLike("prefix", q.Prefix, backend.MaxStreamBytes); err != nil {
		return err
	}
	b, p, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	list, err := a.beginRows(headerOf("papyra.streams/1", p, b), "streams", q.Limit)
	if err != nil {
		return err
	}
	return list.end(list.streams(ctx, b, q))
}

func (r *rows) streams(ctx context.Context, b *backend.Backend, q backend.StreamQuery) error {
	if r.format == formatText {
		r.heading("     VERSION        FLOOR      EPOCH  STREAM")
	}
	q.Limit = limitOf(q.Limit)
	last := ""
	for s, err := range b.Streams(ctx, q) {
		if err != nil {
			return err
		}
		if r.full() {
			return r.note("more: --after %s, or a higher --limit", printable(shellWord(last)))
		}
		if err := r.stream(s); err != nil {
			return err
		}
		last = s.Name
	}
	return nil
}

func (r *rows) stream(s backend.StreamInfo) error {
	if r.format == formatText {
		return r.line("%12d %12d %10d  %s\n", s.Head.Version, s.Head.Floor, s.Head.Epoch, show(s.Name))
	}
	row, err := encode(streamShape{s.Name, s.Head.Version, s.Head.Floor, s.Head.Epoch})
	if err != nil {
		return err
	}
	return r.json(row)
}

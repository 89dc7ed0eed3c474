package pebble_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/pebble"
)

func Example() {
	parent, err := os.MkdirTemp("", "papyra")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(parent)
	ctx := context.Background()
	b, err := pebble.Open(ctx, filepath.Join(parent, "store"), &pebble.Options{MemTableBytes: 4 << 20})
	if err != nil {
		panic(err)
	}
	defer b.Close()
	res, err := b.Append(ctx, backend.Batch{Stream: "account/ada", Expected: 0, Records: []backend.Record{{Type: "deposited", Payload: []byte("50")}}})
	if err != nil {
		panic(err)
	}
	fmt.Println("version", res.Version)
	for r, err := range b.Read(ctx, backend.Query{Stream: "account/ada"}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(r.Version, r.Type, string(r.Payload))
	}
	// Output:
	// version 1
	// 1 deposited 50
}

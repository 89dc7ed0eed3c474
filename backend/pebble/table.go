package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/papyra-go/papyra/backend"
)

// table is a file of pebble that holds keys in order, looked at without pebble's own cache:
// blocks, each with a byte that says how it is compressed and a checksum behind it.
type table struct {
	name  string
	f     vfs.File
	size  int64
	data  []block.Handle // blocks of keys and values, as far as they are known
	other []block.Handle // all others
	guess bool           // what leads to the blocks can't be read: data may hold blocks of other kinds
	keys  uint64         // how many the table says that it has; 0: not known
	odd   error          // … because of this
	stop  int64          // … and here the blocks end that were found one behind the other
}

// tableOptions are what a table is opened with.
var tableOptions = func() sstable.ReaderOptions {
	o := &pebble.Options{}
	o.EnsureDefaults()
	return o.MakeReaderOptions()
}()

var keySchema = colblk.DefaultKeySchema(pebble.DefaultComparer, 16)

// openTable finds the blocks of a table.
func openTable(on vfs.FS, dir, name string) (*table, error) {
	f, err := on.Open(on.PathJoin(dir, name))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	t := &table{name: name, f: f, size: info.Size()}
	if t.odd = guard(t.layout); t.odd != nil {
		t.guess, t.other = true, nil
		t.data, err = t.walk()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return t, nil
}

// unclosed is a file that someone else closes.
type unclosed struct{ vfs.File }

func (unclosed) Close() error { return nil }

// layout asks pebble where the blocks are.
func (t *table) layout() error {
	readable, err := sstable.NewSimpleReadable(unclosed{t.f})
	if err != nil {
		return err
	}
	r, err := sstable.NewReader(context.Background(), readable, tableOptions)
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	defer r.Close()
	props, err := r.ReadPropertiesBlock(context.Background(), nil)
	if err != nil {
		return err
	}
	t.keys = props.NumEntries
	l, err := r.Layout()
	if err != nil {
		return err
	}
	for i := range l.Data {
		t.data = append(t.data, l.Data[i].Handle)
	}
	t.other = append(append(t.other, l.Index...), l.ValueBlock...)
	for _, h := range l.Filter {
		t.other = append(t.other, h.Handle)
	}
	for _, h := range []block.Handle{l.TopIndex, l.RangeDel, l.RangeKey, l.ValueIndex, l.Properties, l.MetaIndex} {
		if h.Length > 0 {
			t.other = append(t.other, h)
		}
	}
	return nil
}

// mostBlock is how large a block that nothing leads to may be.
const mostBlock = 20 << 20

// walk finds blocks by their checksums, one behind the other, from the beginning on.
func (t *table) walk() (list []block.Handle, err error) {
	b := make([]byte, t.size)
	if _, err := t.f.ReadAt(b, 0); err != nil && err != io.EOF {
		return nil, err
	}
	for at := 0; ; {
		n := blockAt(b[at:])
		if t.stop = int64(at); n < 0 {
			return list, nil
		}
		list = append(list, block.Handle{Offset: uint64(at), Length: uint64(n)})
		at += n + block.TrailerLen
	}
}

// blockAt returns the length of the block that b begins with; -1: with none.
func blockAt(b []byte) int {
	sum := uint32(0)
	for n := 0; n+block.TrailerLen <= len(b) && n <= mostBlock; n++ {
		sum = crc32.Update(sum, castagnoli, b[n:n+1]) // at n, this is what says how it is compressed
		if n > 0 && mask(sum) == binary.LittleEndian.Uint32(b[n+1:]) {
			return n
		}
	}
	return -1
}

// read returns what is in a block. If its checksum is wrong it says so, and returns what was in
// it if one bit is all that is wrong; else raw is what stands there.
func (t *table) read(h block.Handle) (in, raw []byte, wrong error) {
	b := make([]byte, h.Length+block.TrailerLen)
	if _, err := t.f.ReadAt(b, int64(h.Offset)); err != nil {
		return nil, nil, err
	}
	want := binary.LittleEndian.Uint32(b[h.Length+1:])
	if got := maskedSum(b[:h.Length+1]); got != want {
		wrong = fmt.Errorf("the block's checksum is %08x, and should be %08x", got, want)
		if !mendSum(b[:h.Length+1], want) {
			return nil, b[:h.Length], wrong
		}
	}
	kind := block.CompressionIndicator(b[h.Length])
	b = b[:h.Length]
	if kind == block.NoCompressionIndicator {
		return b, nil, wrong
	}
	err := guard(func() error {
		n, err := block.DecompressedLen(kind, b)
		if err != nil {
			return err
		}
		if n > mostBlock {
			return fmt.Errorf("the block says that it has %d bytes", n)
		}
		in = make([]byte, n)
		return block.DecompressInto(kind, b, in)
	})
	if err != nil {
		return nil, b, errors.Join(wrong, err)
	}
	return in, nil, wrong
}

// row is an entry of a block of keys and values.
type row struct {
	key, value []byte
	seq        uint64
	deleted    bool
}

// rows hands out the entries of such a block. If it can't be read, raw is what stands there.
// What is not what was written is not taken apart: pebble would follow numbers in it anywhere.
func (t *table) rows(h block.Handle, each func(*row)) (raw []byte, err error) {
	b, raw, err := t.read(h)
	if b == nil {
		return raw, err
	}
	return nil, guard(func() error {
		var d colblk.DataBlockDecoder
		var it colblk.DataBlockIter
		d.Init(&keySchema, b)
		it.InitOnce(&keySchema, pebble.DefaultComparer, nil)
		if err := it.Init(&d, block.NoTransforms); err != nil {
			return err
		}
		for kv := it.First(); kv != nil; kv = it.Next() {
			r := row{key: kv.K.UserKey, seq: uint64(kv.K.SeqNum())}
			switch kind := kv.K.Kind(); kind {
			case pebble.InternalKeyKindSet, pebble.InternalKeyKindSetWithDelete:
				r.value = kv.InPlaceValue()
			case pebble.InternalKeyKindDelete, pebble.InternalKeyKindDeleteSized, pebble.InternalKeyKindSingleDelete:
				r.deleted = true
			default:
				continue
			}
			each(&r)
		}
		return nil
	})
}

// check reports the blocks that are wrong; lost are those of keys and values among them.
func (t *table) check(report func(backend.Anomaly) error) (lost int, err error) {
	file := path.Join(dbName, t.name)
	if t.odd != nil {
		if err := report(backend.Anomaly{Code: backend.WrongIndex, Severity: backend.Damage, File: file, Offset: t.stop, Length: t.size - t.stop, Detail: fmt.Sprintf("what leads to the table's blocks can't be read: %v", t.odd)}); err != nil {
			return 0, err
		}
		return 0, nil
	}
	for i, h := range append(append([]block.Handle{}, t.data...), t.other...) {
		if _, _, err := t.read(h); err != nil {
			a := backend.Anomaly{Code: backend.BadChecksum, Severity: backend.Damage, File: file, Offset: int64(h.Offset), Length: int64(h.Length + block.TrailerLen), Detail: "a block of a table: " + err.Error()}
			if i < len(t.data) {
				lost++
			}
			if err := report(a); err != nil {
				return lost, err
			}
		}
	}
	return lost, nil
}

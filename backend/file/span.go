package file

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/backend/codec"
	"github.com/papyra-go/papyra/backend/file/internal/sorted"
	"github.com/papyra-go/papyra/backend/internal/disk"
)

// A span is what segments are packed into: the same records, gathered by stream. It is
// written once, under a name of its own, and never changed:
//
//	0         4096
//	┌─────────┬─────────────┬─────────────┬─ ─ ─┬────────────┬───────┬───────┐
//	│ header  │ a's records │ b's records │     │ skip lists │ zeros │ table │
//	└─────────┴─────────────┴─────────────┴─ ─ ─┴────────────┴───────┴───────┘
//	                                      frames         skips         size
//
// Streams stand in the order of their names; of each the numbered records by version,
// then the snapshots by version and position. A record is a frame: how far its position is
// above the span's first (v), then its envelope as package codec writes it, its time
// counted from the span's base. So all that frames need to be read, and to be found
// without the table, is in the frames and the header.
//
// The skip list of a stream with much in the span says where a version is, every
// skipStep bytes:
//
//	version u64 │ offset u32, from the stream's first record │ … │ CRC u32
//
// The table, of package sorted, tells of each stream where it stands behind the span and
// where its records are: see entry. Table and skip lists can be made again from the
// frames.
//
// The header is a page:
//
//	   0  magic "papyrasp"
//	   8  format u32
//	  12  zero u32
//	  16  store UUID
//	  32  first id u64, last id u64    of the segments that the span holds
//	  48  generation u64               of the manifest that was to list it first
//	  56  life u64                     random
//	  64  first position u64, last position u64
//	  80  base time i64                in nanoseconds since 1970
//	  88  records u64, streams u64
//	 104  frames u64, skips u64, size u64: offsets, see above
//	 128  places u64                  CRC of what stands before the envelopes, as u64 each
//	 136  zero
//	4092  CRC of all before
//
// The manifest says all that the header does.
type spanInfo struct {
	first, last         uint64
	generation, life    uint64
	from, to            backend.Position
	base                int64
	records, streams    uint64
	frames, skips, size int64
	places              uint32
}

const (
	spanMagic = "papyrasp"
	skipStep  = 32 << 10
	skipEntry = 12
)

// print writes the span's line in the manifest.
func (i *spanInfo) print(b *bytes.Buffer) {
	fmt.Fprintf(b, "span %d-%d generation %d life %016x from %d to %d base %d records %d streams %d frames %d skips %d bytes %d places %08x\n",
		i.first, i.last, i.generation, i.life, i.from, i.to, i.base, i.records, i.streams, i.frames, i.skips, i.size, i.places)
}

// scan is the inverse of print.
func (i *spanInfo) scan(line string) error {
	_, err := fmt.Sscanf(line, "span %d-%d generation %d life %x from %d to %d base %d records %d streams %d frames %d skips %d bytes %d places %x",
		&i.first, &i.last, &i.generation, &i.life, &i.from, &i.to, &i.base, &i.records, &i.streams, &i.frames, &i.skips, &i.size, &i.places)
	if err == nil && (i.first > i.last || i.from > i.to || i.frames < headerSize || i.skips < i.frames || i.size < i.skips || i.size > maxSegment) {
		err = fmt.Errorf("a span that can't be: %s", line)
	}
	return err
}

func (i *spanInfo) encode(store [16]byte) []byte {
	b := make([]byte, headerSize)
	le := binary.LittleEndian
	copy(b, spanMagic)
	le.PutUint32(b[8:], FormatVersion)
	copy(b[16:], store[:])
	for n, u := range [...]uint64{i.first, i.last, i.generation, i.life, uint64(i.from), uint64(i.to), uint64(i.base), i.records, i.streams, uint64(i.frames), uint64(i.skips), uint64(i.size), uint64(i.places)} {
		le.PutUint64(b[32+8*n:], u)
	}
	le.PutUint32(b[headerSize-4:], crc32.Checksum(b[:headerSize-4], castagnoli))
	return b
}

// placesCRC goes on with the checksum of the numbers before envelopes.
func placesCRC(crc uint32, rel uint64) uint32 {
	crc = ^crc
	for i := 0; i < 64; i += 8 {
		crc = castagnoli[byte(crc)^byte(rel>>i)] ^ crc>>8
	}
	return ^crc
}

// span is a span in use. What it holds never changes: any number of goroutines may read.
// Its file is opened when it is read, and closed again when many others are.
type span struct {
	spanInfo
	name  string
	dir   disk.FS
	store [16]byte
	seed  uint32 // of table and skip lists
	table *sorted.Table
	open  *openFiles
	use   usage

	mu   sync.RWMutex // held while the file is read
	file disk.File    // nil: it is not open
	read atomic.Bool  // since openFiles looked
}

func (s *store) newSpan(info spanInfo) *span {
	sp := &span{spanInfo: info, name: spanName(info.first, info.last, info.generation), dir: s.dir, store: s.uuid,
		seed: lifeSeed(s.uuid, info.last, info.life), open: &s.open}
	sp.table = sorted.Open(sp, sp.skipsEnd(), sp.size-sp.skipsEnd(), sp.seed)
	sp.table.Keep(s.leaves)
	return sp
}

// skipsEnd is where the table begins: at a page.
func (i *spanInfo) skipsEnd() int64 { return (i.skips + pageSize - 1) &^ (pageSize - 1) }

// ReadAt reads the file.
func (sp *span) ReadAt(p []byte, off int64) (n int, err error) {
	err = sp.with(func(f disk.File) error {
		n, err = f.ReadAt(p, off)
		return err
	})
	return n, err
}

// with calls do with the file, which is open for so long.
func (sp *span) with(do func(disk.File) error) error {
	sp.mu.RLock()
	for sp.file == nil {
		sp.mu.RUnlock()
		if err := sp.openFile(); err != nil {
			return err
		}
		sp.mu.RLock()
	}
	defer sp.mu.RUnlock()
	if !sp.read.Load() {
		sp.read.Store(true)
	}
	return do(sp.file)
}

func (sp *span) openFile() error {
	sp.open.add(sp)
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.file != nil {
		return nil
	}
	f, err := sp.dir.Open(sp.name, os.O_RDONLY)
	if err == nil {
		sp.file = f
	}
	return err
}

func (sp *span) close() error {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.file == nil {
		return nil
	}
	err := sp.file.Close()
	sp.file = nil
	return err
}

// fileSize is the file's size on disk.
func (sp *span) fileSize() (size int64, err error) {
	err = sp.with(func(f disk.File) error {
		size, err = f.Size()
		return err
	})
	return size, err
}

// openFiles bounds how many spans have their files open: descriptors are few. When there
// are too many, one goes that was not read since the hand came by (the clock algorithm).
type openFiles struct {
	mu   sync.Mutex
	ring []*span
	hand int
	all  bool // none is closed: a writer in another process may have removed it
}

// openMost is how many spans have their files open.
const openMost = 256

// add makes room for one more.
func (o *openFiles) add(sp *span) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all || slices.Contains(o.ring, sp) {
		return
	}
	for len(o.ring) >= openMost {
		o.hand %= len(o.ring)
		old := o.ring[o.hand]
		if old.read.Swap(false) {
			o.hand++
			continue
		}
		_ = old.close() // it was read from, no more
		o.ring[o.hand] = o.ring[len(o.ring)-1]
		o.ring = o.ring[:len(o.ring)-1]
	}
	o.ring = append(o.ring, sp)
}

// drop forgets a span that is gone.
func (o *openFiles) drop(sp *span) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if i := slices.Index(o.ring, sp); i >= 0 {
		o.ring = slices.Delete(o.ring, i, i+1)
	}
}

// find returns the entry of a stream.
func (sp *span) find(name string) (e entry, ok bool, err error) {
	var room [128]byte
	b, ok, err := sp.table.Get(name, room[:0])
	if err == nil && ok {
		err = e.parse(b, sp.frames)
	}
	if err != nil {
		return e, false, sp.corruptTable(err)
	}
	return e, ok, nil
}

// corruptTable is the error for a table that can't be read.
func (sp *span) corruptTable(err error) error { return corruptBlock(sp.name, sp.skipsEnd(), err) }

// corruptBlock is the error for a table, at an offset of a file, that can't be read.
func corruptBlock(name string, at int64, err error) error {
	var be *sorted.BlockError
	ce := &backend.CorruptError{File: name, Offset: at, Detail: "the table of streams: " + err.Error()}
	if asBlock(err, &be) {
		ce.Offset, ce.Length, ce.Detail = at+be.Offset, sorted.BlockSize, "a block of the table of streams: "+be.Err.Error()
	}
	return ce
}

// bytes returns n bytes of the span's records from off through a window; fewer at their
// end.
func (sp *span) bytes(w *window, off int64, n, ahead int) ([]byte, error) {
	if !w.has(sp, off, n) {
		if err := w.read(sp, sp, sp.name, off, max(n, ahead), sp.frames); err != nil {
			return nil, err
		}
	}
	return w.part(off, n), nil
}

// hop reads what it takes to step over the frame at off: how far its position is above
// the span's first, where its envelope begins, and how long the frame is. Nothing is
// checked but that it ends by limit.
func (sp *span) hop(w *window, off, limit int64, ahead int) (rel uint64, head, n int, err error) {
	b, err := sp.bytes(w, off, int(min(limit-off, binary.MaxVarintLen64+8)), ahead)
	if err != nil {
		return 0, 0, 0, err
	}
	rel, head = binary.Uvarint(b)
	if head <= 0 || rel > uint64(sp.to-sp.from) {
		return 0, 0, 0, fmt.Errorf("%w: a position that can't be", backend.ErrCorrupt)
	}
	n, err = codec.Length(b[head:])
	if err == nil && int64(head+n) > limit-off {
		err = fmt.Errorf("%w: the record goes on beyond the end of its place", backend.ErrCorrupt)
	}
	return rel, head, head + n, err
}

// skipTo returns where in a stream's records to begin looking for a version: at the
// frame at off, which is that of the version at. A skip list that can't be read costs time
// alone.
func (sp *span) skipTo(e *entry, v backend.Version) (off int64, at backend.Version) {
	off, at = e.off, e.first
	size := int64(e.skips)*skipEntry + 4
	if e.skips == 0 || v <= at || sp.frames+e.skip+size > sp.skips {
		return off, at
	}
	b := make([]byte, size)
	if _, err := sp.ReadAt(b, sp.frames+e.skip); err != nil && err != io.EOF ||
		crc32.Update(sp.seed, castagnoli, b[:size-4]) != binary.LittleEndian.Uint32(b[size-4:]) {
		return off, at
	}
	for ; len(b) > 4; b = b[skipEntry:] {
		version := backend.Version(binary.LittleEndian.Uint64(b))
		if version > v {
			break
		}
		off, at = e.off+int64(binary.LittleEndian.Uint32(b[8:])), version
	}
	return off, at
}

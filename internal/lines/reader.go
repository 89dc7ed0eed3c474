package lines

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// MaxLine bounds a line: that of the largest record there is takes less.
const MaxLine = 32 << 20

// ErrTooLong is a line above [MaxLine]. The reader goes on behind it.
var ErrTooLong = fmt.Errorf("the line is longer than %d MiB", MaxLine>>20)

var (
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
	mark      = []byte{0xef, 0xbb, 0xbf} // UTF-8's byte order mark
)

// Reader reads lines, of a file that may be compressed with zstd, which its first bytes
// tell.
type Reader struct {
	in      *bufio.Reader
	unzip   *zstd.Decoder // nil: not compressed
	buf     []byte
	n       int  // the number of the line that was read last, from 1
	marked  bool // a byte order mark stood before the first line
	ended   bool // the last line that was read has no line end
	started bool
}

// NewReader returns a reader of what in holds. zipped says that it must be zstd: its
// name says so. The caller closes the reader.
func NewReader(in io.Reader, zipped bool) (*Reader, error) {
	r := &Reader{in: bufio.NewReaderSize(in, 1<<20)}
	start, err := r.in.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch packed := bytes.Equal(start, zstdMagic); {
	case packed:
		r.unzip, err = zstd.NewReader(r.in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, err
		}
		r.in = bufio.NewReaderSize(r.unzip, 1<<20)
	case zipped:
		return nil, errors.New("it is named .zst and is not compressed with zstd")
	}
	return r, nil
}

// Close gives back what the decompression holds.
func (r *Reader) Close() {
	if r.unzip != nil {
		r.unzip.Close()
	}
}

// Number is the number of the line that Next returned last, from 1.
func (r *Reader) Number() int { return r.n }

// Marked reports whether a byte order mark stood at the beginning.
func (r *Reader) Marked() bool { return r.marked }

// Unended reports whether the line that Next returned last has no line end.
func (r *Reader) Unended() bool { return r.ended }

// Next returns the next line, without its line end (\n) and good until the next call;
// at the end io.EOF. After ErrTooLong it can be called again, after other errors not.
func (r *Reader) Next() ([]byte, error) {
	if !r.started {
		r.started = true
		if start, _ := r.in.Peek(len(mark)); bytes.Equal(start, mark) {
			r.marked = true
			_, _ = r.in.Discard(len(mark)) // they are buffered
		}
	}
	line, err := r.in.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		line, err = r.long(line)
	}
	if err == io.EOF && len(line) == 0 {
		return nil, io.EOF
	}
	if err != nil && err != io.EOF {
		if errors.Is(err, ErrTooLong) {
			r.n++
		}
		return nil, explain(err)
	}
	r.n++
	r.ended = err == io.EOF
	return bytes.TrimSuffix(line, []byte{'\n'}), nil
}

// long gathers a line that the buffer does not hold.
func (r *Reader) long(part []byte) ([]byte, error) {
	r.buf = append(r.buf[:0], part...)
	tooLong := false
	for {
		part, err := r.in.ReadSlice('\n')
		if tooLong = tooLong || len(r.buf)+len(part) > MaxLine; !tooLong {
			r.buf = append(r.buf, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
		case tooLong && (err == nil || err == io.EOF):
			return nil, ErrTooLong
		default:
			return r.buf, err
		}
	}
}

// explain says in words what is wrong with compressed bytes.
func explain(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the compressed data is cut off")
	case errors.Is(err, zstd.ErrCRCMismatch), errors.Is(err, zstd.ErrMagicMismatch), errors.Is(err, zstd.ErrReservedBlockType),
		errors.Is(err, zstd.ErrBlockTooSmall), errors.Is(err, zstd.ErrCompressedSizeTooBig), errors.Is(err, zstd.ErrUnexpectedBlockSize),
		errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrWindowSizeTooSmall), errors.Is(err, zstd.ErrFrameSizeExceeded),
		errors.Is(err, zstd.ErrFrameSizeMismatch), errors.Is(err, zstd.ErrUnknownDictionary):
		return fmt.Errorf("the compressed data is damaged: %w", err)
	}
	return err
}

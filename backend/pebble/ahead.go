package pebble

// A sync of a log that has grown writes, besides the data, where its blocks are and how long it
// is: that takes half as long again. So zeros are laid ahead of what is written, much at a time,
// and most syncs write data alone. They are synced with what is before them. Where much is
// written at a time it does not pay: zeros are bytes too.
//
// pebble takes zeros for the end of a log; so does this package, see chunkReader.
const (
	leastAhead  = 64 << 10
	mostAhead   = 1 << 20
	mostSynced  = 64 << 10 // what was written since the last sync, if zeros are to be laid before this one
	leastSynced = 64       // less is not a record, but the mark at a log's end
)

var zeroBytes [mostAhead]byte

// reach is how far a log is written, and its file reaches. Whoever writes the log syncs it too.
type reach struct {
	at    int64 // the next write is here
	end   int64 // of the file
	since int   // written since the last sync
}

func (r *reach) wrote(n int) {
	r.at += int64(n)
	r.end, r.since = max(r.end, r.at), r.since+n
}

// layAhead lays zeros behind what is written, if the file ends there. It is called before each
// sync.
func (f *writtenFile) layAhead() {
	r := &f.reach
	lay := r.at == r.end && r.since >= leastSynced && r.since <= mostSynced
	if r.since = 0; !lay {
		return
	}
	n := min(max(r.at, leastAhead), mostAhead)
	_ = f.m.try(f.name, "write", false, func() error {
		_, err := f.File.WriteAt(zeroBytes[:n], r.at)
		if err == nil {
			r.end = r.at + n
		}
		return err
	})
}

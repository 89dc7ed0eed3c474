package bolt

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/papyra-go/papyra/backend/internal/kv/kvtest"
)

// One wrong bit of what a page says of itself and of its first elements costs one element at most:
// how many there are is said in two places, and a third one tells which is right.
func TestOneWrongBitOfAPageCostsOneElement(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	kvtest.MakeStore(t, opener(dir, small))
	file, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	pages := 0
	for ; len(file) > 0; file = file[small.PageBytes:] {
		page := file[:small.PageBytes]
		h := parseHeader(page)
		if h.flags != flagLeaf && h.flags != flagBranch || h.overflow > 0 || h.count == 0 {
			continue
		}
		whole, odd := elements(page, h)
		if odd != nil {
			continue // a page that was freed
		}
		pages++
		for bit := 8 * 10; bit < 8*(pageHeader+2*elementSize); bit++ {
			if bit == 8*12 { // the pages that follow are another matter
				bit = 8 * pageHeader
			}
			b := bytes.Clone(page)
			b[bit/8] ^= 1 << (bit % 8)
			list, _ := elements(b, parseHeader(b))
			lost := 0
			for _, w := range whole {
				found := false
				for _, e := range list {
					found = found || bytes.Equal(e.key, w.key) && bytes.Equal(e.value, w.value)
				}
				if !found {
					lost++
				}
			}
			if lost > 1 {
				t.Errorf("page %d: byte %d bit %d: %d of %d elements are lost", h.id, bit/8, bit%8, lost, len(whole))
			}
		}
	}
	if pages < 10 {
		t.Errorf("only %d pages", pages)
	}
}

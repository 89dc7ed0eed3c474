package papyra_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")

// docs/custom-backend.md says nothing about a backend that a compiler has not read.
func TestTheWalkThroughQuotesTheExample(t *testing.T) {
	files, err := filepath.Glob("examples/custombackend/*.go")
	if err != nil || len(files) < 4 {
		t.Fatalf("%v, %v: want the example's files", files, err)
	}
	files = append(files, "examples/custombackend/skeleton/skeleton.go")
	var code strings.Builder
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(text)
	}
	doc, err := os.ReadFile("docs/custom-backend.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := goBlock.FindAllStringSubmatch(string(doc), -1)
	if len(blocks) < 10 {
		t.Errorf("found only %d quotes", len(blocks))
	}
	for _, b := range blocks {
		if !strings.Contains("\n"+code.String(), "\n"+b[1]) {
			first, _, _ := strings.Cut(b[1], "\n")
			t.Errorf("docs/custom-backend.md quotes what examples/custombackend does not hold (any more): copy it\n%s …", first)
		}
	}
}

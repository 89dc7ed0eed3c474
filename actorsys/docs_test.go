package actorsys_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/actors.md quotes the examples, and names tests that exist.
func TestTheGuideQuotesTheExamplesAndNamesTestsThatExist(t *testing.T) {
	names, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	kit, err := filepath.Glob("actortest/*_test.go")
	if err != nil || len(kit) == 0 {
		t.Fatal(kit, err)
	}
	names = append(names, kit...)
	var examples, tests strings.Builder
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(name, "example") || strings.HasPrefix(name, "actortest") {
			examples.WriteString("\n")
			examples.Write(text)
		}
		tests.Write(text)
	}
	doc, err := os.ReadFile("../docs/actors.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(doc), -1)
	if len(blocks) < 8 {
		t.Errorf("found only %d quotes", len(blocks))
	}
	for _, b := range blocks {
		if !strings.Contains(examples.String(), "\n"+b[1]) {
			first, _, _ := strings.Cut(b[1], "\n")
			t.Errorf("docs/actors.md quotes what no example holds: copy it\n%s …", first)
		}
	}
	shown := regexp.MustCompile(`\bTest\w+`).FindAllString(string(doc), -1)
	if len(shown) < 30 {
		t.Errorf("found only %d tests", len(shown))
	}
	for _, name := range shown {
		if !strings.Contains(tests.String(), "func "+name+"(t *testing.T)") {
			t.Errorf("docs/actors.md names %s, which does not exist", name)
		}
	}
}

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A mutant whose text has changed breaks nothing, and its test proves nothing then: each
// stands in its file exactly once, and its tests exist.
func TestNoMutantIsStale(t *testing.T) {
	root, err := moduleRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := fresh(root, all()); err != nil {
		t.Error(err)
	}
	tests := map[string]string{} // by package, all of its test files
	seen := map[string]bool{}
	for _, m := range all() {
		if seen[m.name] {
			t.Errorf("%q is there twice", m.name)
		}
		seen[m.name] = true
		if _, ok := tests[m.pkg]; !ok {
			files, err := filepath.Glob(filepath.Join(root, m.pkg, "*_test.go"))
			if err != nil || len(files) == 0 {
				t.Fatalf("%s has no tests: %v", m.pkg, err)
			}
			for _, name := range files {
				b, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				tests[m.pkg] += string(b)
			}
		}
		for _, name := range strings.Split(m.test, "|") {
			if !regexp.MustCompile(`(?m)^func ` + name + `\(`).MatchString(tests[m.pkg]) {
				t.Errorf("%q: %s has no test %s", m.name, m.pkg, name)
			}
		}
	}
}

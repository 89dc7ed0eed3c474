package papyra_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/papyra-go/papyra"

// floors is the house: a package imports lower floors only. Tests are exempt. A
// package that is not listed here has no floor, and fails until it gets one.
var floors = map[string]int{
	".":                           0, // holds no code
	"metrics":                     0,
	"internal/pace":               0,
	"backend":                     1,
	"internal/chart":              0,
	"internal/lines":              2,
	"internal/storebench":         3,
	"internal/transfer":           3,
	"backend/codec":               2,
	"backend/memory":              3,
	"backend/internal/kv":         3,
	"backend/file":                4,
	"backend/bolt":                4,
	"backend/pebble":              4,
	"conformance":                 4,
	"actorsys":                    4,
	"conformance/linearize":       5,
	"conformance/model":           5,
	"conformance/selftest":        5,
	"backend/memory/memorytest":   5,
	"backend/file/filetest":       5,
	"backend/bolt/bolttest":       5,
	"backend/pebble/pebbletest":   5,
	"backend/internal/enginetest": 5,
	"backend/internal/kv/kvtest":  6, // knows enginetest
	"cmd/papyra":                  6, // knows conformance/selftest
	"examples/bank":               5,
	"examples/bank/drive":         5,
	"actorsys/actortest":          5,
}

// floorOf returns the floor of a package; one in an internal folder that is not listed
// stands on the floor of the house that it belongs to.
func floorOf(dir string) (floor int, ok bool) {
	floor, ok = floors[houseOf(dir)]
	return floor, ok
}

// houseOf returns the listed package that dir belongs to: itself, or the one whose internal
// folder it is in.
func houseOf(dir string) string {
	if _, listed := floors[dir]; listed {
		return dir
	}
	house, _, _ := strings.Cut(dir, "/internal/")
	return house
}

// sameFloor lists what may be imported on its own floor: a package's own rooms.
func sameFloor(from, to string) bool {
	_, listed := floors[to]
	return !listed && houseOf(from) == houseOf(to)
}

// A package is what the tests here look at: one directory's files.
type pkg struct {
	dir   string
	files map[string]*ast.File // by file name; without tests
	tests map[string]*ast.File
}

// packages parses the product's own packages. They are parsed here and not asked
// of the go command: the test cache does not see what another process reads.
func packages(t *testing.T) []*pkg {
	t.Helper()
	var out []*pkg
	byDir := map[string]*pkg{}
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || nested(name)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		dir := filepath.ToSlash(filepath.Dir(name))
		p := byDir[dir]
		if p == nil {
			p = &pkg{dir: dir, files: map[string]*ast.File{}, tests: map[string]*ast.File{}}
			byDir[dir] = p
			out = append(out, p)
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		if strings.HasSuffix(name, "_test.go") {
			p.tests[name] = f
		} else {
			p.files[name] = f
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 8 {
		t.Fatalf("found only %d packages", len(out))
	}
	return out
}

// nested reports whether dir is a module of its own.
func nested(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return dir != "." && err == nil
}

func TestPackagesImportLowerFloorsOnly(t *testing.T) {
	for _, p := range packages(t) {
		floor, ok := floorOf(p.dir)
		if !ok {
			if len(p.files) > 0 {
				t.Errorf("package %s has no floor: give it one in arch_test.go", p.dir)
			}
			continue
		}
		for name, f := range p.files {
			for _, spec := range f.Imports {
				to, ours := imported(spec)
				if !ours || sameFloor(p.dir, to) {
					continue
				}
				if below, _ := floorOf(to); below >= floor {
					t.Errorf("%s (floor %d) imports %s (floor %d)", name, floor, to, below)
				}
			}
		}
	}
}

func imported(spec *ast.ImportSpec) (dir string, ours bool) {
	name, _ := strconv.Unquote(spec.Path.Value)
	return strings.CutPrefix(name, module+"/")
}

func TestNoDriverImportsMetrics(t *testing.T) {
	for _, p := range packages(t) {
		if !strings.HasPrefix(p.dir, "backend/") || floors[p.dir] == 5 {
			continue
		}
		for name, f := range p.files {
			for _, spec := range f.Imports {
				if to, ours := imported(spec); ours && to == "metrics" {
					t.Errorf("%s imports metrics: drivers return facts, the Backend counts them", name)
				}
			}
		}
	}
}

// heavy are the modules that must not reach a program which did not ask for them.
var heavy = []string{"github.com/cockroachdb/", "go.etcd.io/bbolt", "github.com/jackc/", "github.com/testcontainers/", "github.com/docker/", "go.opentelemetry.io/", "testing"}

func TestCorePackagesCompileWithoutHeavyModules(t *testing.T) {
	all := map[string]*pkg{}
	for _, p := range packages(t) {
		all[p.dir] = p
	}
	for _, core := range []string{"metrics", "backend", "actorsys", "conformance", "backend/memory", "backend/file"} {
		for name, via := range reach(all, core) {
			for _, h := range heavy {
				if name == h || strings.HasSuffix(h, "/") && strings.HasPrefix(name, h) || strings.HasPrefix(name, h+"/") {
					t.Errorf("package %s reaches %s, through %s", core, name, via)
				}
			}
		}
	}
}

// reach returns every import path that a package of ours leads to, directly or through
// others of ours, each with the file that imports it.
func reach(all map[string]*pkg, from string) map[string]string {
	found := map[string]string{}
	queue := []string{from}
	for len(queue) > 0 {
		p := all[queue[0]]
		queue = queue[1:]
		if p == nil {
			continue
		}
		for name, f := range p.files {
			for _, spec := range f.Imports {
				full, _ := strconv.Unquote(spec.Path.Value)
				if _, seen := found[full]; seen {
					continue
				}
				found[full] = name
				if to, ours := imported(spec); ours {
					queue = append(queue, to)
				}
			}
		}
	}
	return found
}

func TestEveryExportedNameIsDocumented(t *testing.T) {
	for _, p := range packages(t) {
		documented := false
		for name, f := range p.files {
			documented = documented || f.Doc != nil
			for _, decl := range f.Decls {
				for _, missing := range undocumented(decl) {
					t.Errorf("%s: %s has no doc comment", name, missing)
				}
			}
		}
		if len(p.files) > 0 && !documented {
			t.Errorf("package %s has no package comment", p.dir)
		}
	}
}

func undocumented(decl ast.Decl) (names []string) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
			return []string{d.Name.Name}
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
					names = append(names, s.Name.Name)
				}
			case *ast.ValueSpec:
				for _, n := range s.Names {
					if n.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
						names = append(names, n.Name)
					}
				}
			}
		}
	}
	return names
}

// exportedReceiver reports whether a method can be seen from outside; the methods
// that an interface of the standard library asks for need no words.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	if slices.Contains([]string{"Error", "Unwrap", "String", "MarshalText"}, d.Name.Name) {
		return false
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	switch g := t.(type) {
	case *ast.IndexExpr:
		t = g.X
	case *ast.IndexListExpr:
		t = g.X
	}
	id, ok := t.(*ast.Ident)
	return ok && id.IsExported()
}

func TestTheREADMEShowsTheExampleThatIsCompiled(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("actorsys/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(readme), "```go\n")
	shown, _, _ = strings.Cut(shown, "```\n")
	if shown == "" || !strings.HasSuffix(string(example), shown) {
		t.Error("README.md's first code block is not the end of actorsys/example_test.go: copy it")
	}
	if n := strings.Count(shown, "\n"); n > 30 {
		t.Errorf("README.md's first actor has %d lines, want at most 30", n)
	}
}

func TestNothingIsLeftOpen(t *testing.T) {
	marks := []string{"TO" + "DO", "FIX" + "ME", "XX" + "X"}
	for _, p := range packages(t) {
		for _, files := range []map[string]*ast.File{p.files, p.tests} {
			for name := range files {
				text, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				for _, mark := range marks {
					if strings.Contains(string(text), mark) {
						t.Errorf("%s holds %q: finish it, or say why in the documents", name, mark)
					}
				}
			}
		}
	}
}

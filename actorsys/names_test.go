package actorsys_test

import (
	"go/ast"
	"go/doc"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"strings"
	"testing"
)

// parsed returns the package's own files.
func parsed(t *testing.T, fset *token.FileSet) (files []*ast.File) {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
	}
	return files
}

// The package stays thin: at most 60 exported names (docs/adr/0013).
func TestThePackageExportsFewNamesAndDocumentsEach(t *testing.T) {
	const most = 60
	fset := token.NewFileSet()
	p, err := doc.NewFromFiles(fset, parsed(t, fset), "github.com/papyra-go/papyra/actorsys")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	methods := 0
	add := func(text string, all ...string) {
		names = append(names, all...)
		if strings.TrimSpace(text) == "" {
			t.Errorf("%v has no comment", all)
		}
	}
	values := func(vs []*doc.Value) {
		for _, v := range vs {
			for _, spec := range v.Decl.Specs {
				spec := spec.(*ast.ValueSpec)
				for _, name := range spec.Names {
					add(v.Doc+spec.Doc.Text(), name.Name)
				}
			}
		}
	}
	values(p.Consts)
	values(p.Vars)
	for _, f := range p.Funcs {
		add(f.Doc, f.Name)
	}
	for _, typ := range p.Types {
		add(typ.Doc, typ.Name)
		values(typ.Consts)
		values(typ.Vars)
		for _, f := range typ.Funcs {
			add(f.Doc, f.Name)
		}
		methods += len(typ.Methods)
	}
	t.Logf("%d names and %d methods: %v", len(names), methods, names)
	if len(names) > most {
		t.Errorf("%d exported names, at most %d", len(names), most)
	}
}

func TestThereIsNoFileThatCannotBeReadInOneSitting(t *testing.T) {
	fset := token.NewFileSet()
	for _, f := range parsed(t, fset) {
		if file := fset.File(f.Pos()); file.LineCount() > 400 {
			t.Errorf("%s has %d lines", file.Name(), file.LineCount())
		}
	}
}

const caller = `package caller

import ("context"; "github.com/papyra-go/papyra/actorsys")

type Account struct{}
type Order struct{}
type Deposit struct{}
func (Deposit) Decide(*actorsys.Turn, Account) ([]actorsys.Event[Account], error) { return nil, nil }
func (Deposit) Reply(Account) int64 { return 0 }

func f(ctx context.Context, accounts actorsys.Ref[Account], orders actorsys.Ref[Order], t *actorsys.Turn) {
	var n int64
	n, _ = actorsys.Ask(ctx, accounts, Deposit{})
	_ = n
	%
}
`

func TestACommandForAnotherStateDoesNotCompile(t *testing.T) {
	if testing.Short() {
		t.Skip("type-checks the standard library from source")
	}
	fset := token.NewFileSet()
	imp := importer.ForCompiler(fset, "source", nil)
	for code, compiles := range map[string]bool{
		`accounts.Tell(Deposit{})`:               true,
		`t.Tell(accounts.With(Deposit{}))`:       true,
		`actorsys.Ask(ctx, orders, Deposit{})`:   false,
		`orders.Tell(Deposit{})`:                 false,
		`t.Tell(orders.With(Deposit{}))`:         false,
		`accounts.Tell(Account{})`:               false,
		`var s string = n; _ = s`:                false,
		`actorsys.On[Deposit]("deposit", 1)`:     false,
		`_ = []actorsys.Event[Order]{Deposit{}}`: false,
	} {
		f, err := parser.ParseFile(fset, "caller.go", strings.Replace(caller, "%", code, 1), 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = (&types.Config{Importer: imp}).Check("caller", fset, []*ast.File{f}, nil)
		if (err == nil) != compiles {
			t.Errorf("%s: %v", code, err)
		}
	}
}

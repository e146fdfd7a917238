// Package gabberd_test enforces the floor plan of the house and what every
// file in it is held to.

package gabberd_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/gabberd/gabberd"

// floors is the house from the ground up: a package may import from the floors
// below it and from its own room, and from nowhere else in the house. A room is
// a folder at the top with all that is in it.
var floors = [][]string{
	{"hooks", "config", "xmpp"},
	{"storage", "admin", "acl"},
	{"auth", "router"},
	{"sm"},
	{"local", "cluster"},
	{"c2s", "s2s", "modules"},
	{"web"},
	{"server"},
	{"cmd", "e2e", "bench"},
}

// withoutGo are folders at the top that hold no Go.
var withoutGo = []string{"dist", "docs", "test"}

const (
	maxFile     = 600 // lines; 400 is usual
	maxFunction = 80  // lines; 50 are many
)

// excused functions are longer than maxFunction, each for a reason.
var excused = map[string]string{}

// file is one Go file of the house.
type file struct {
	path string // from the top, with slashes
	ast  *ast.File
	fset *token.FileSet
}

// dir is the folder that the file is in, which is its package's path.
func (f file) dir() string { return path.Dir(f.path) }

// test says whether the file is compiled for tests only.
func (f file) test() bool { return strings.HasSuffix(f.path, "_test.go") }

// line is where in the file p is.
func (f file) line(p token.Pos) int { return f.fset.Position(p).Line }

// house parses every Go file below the top.
func house(t *testing.T) []file {
	t.Helper()
	var files []file
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() && base != "." && (strings.HasPrefix(base, ".") || base == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(base, ".go") {
			return nil
		}
		tree, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("parse: %w", err)
		}
		files = append(files, file{filepath.ToSlash(name), tree, fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 2 {
		t.Fatal("there is no house here")
	}
	return files
}

// room is the folder at the top that a package is in; "" for the top itself.
func room(pkg string) string {
	if pkg == "." {
		return ""
	}
	first, _, _ := strings.Cut(pkg, "/")
	return first
}

// floor is how high a room lies; -1 when the plan does not know it.
func floor(room string) int {
	return slices.IndexFunc(floors, func(f []string) bool { return slices.Contains(f, room) })
}

// misplaced says what is wrong with an import, or nothing.
func misplaced(from, to string) string {
	a, b := room(from), room(to)
	switch {
	case a == b || a == "":
		return ""
	case floor(b) < 0:
		return fmt.Sprintf("%s imports %s, which is on no floor", from, to)
	case floor(a) == floor(b):
		return fmt.Sprintf("%s imports %s, but %s and %s are neighbours on floor %d", from, to, a, b, floor(a))
	case floor(a) < floor(b):
		return fmt.Sprintf("%s (floor %d) imports %s (floor %d): imports point down", from, floor(a), to, floor(b))
	}
	return ""
}

func TestImportsPointDown(t *testing.T) {
	for _, f := range house(t) {
		for _, i := range f.ast.Imports {
			full, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			to, ours := strings.CutPrefix(full, module+"/")
			if !ours {
				continue
			}
			if wrong := misplaced(f.dir(), to); wrong != "" {
				t.Errorf("%s:%d: %s", f.path, f.line(i.Pos()), wrong)
			}
		}
	}
}

func TestPlanIsEnforced(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"c2s", "sm", ""},
		{"modules/ping", "modules", ""},
		{"storage/storagetest", "storage", ""},
		{"e2e", "server", ""},
		{"sm", "c2s", "sm (floor 3) imports c2s (floor 5): imports point down"},
		{"xmpp/stream", "server", "xmpp/stream (floor 0) imports server (floor 7): imports point down"},
		{"modules/ping", "c2s", "modules/ping imports c2s, but modules and c2s are neighbours on floor 5"},
		{"server", "cellar/wine", "server imports cellar/wine, which is on no floor"},
	} {
		if got := misplaced(c.from, c.to); got != c.want {
			t.Errorf("%s → %s: got %q, want %q", c.from, c.to, got, c.want)
		}
	}
}

func TestEveryFolderHasAFloor(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	gofiles := map[string]bool{}
	for _, f := range house(t) {
		gofiles[room(f.dir())] = true
	}
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() || strings.HasPrefix(name, ".") {
			continue
		}
		switch none := slices.Contains(withoutGo, name); {
		case none && gofiles[name]:
			t.Errorf("%s holds Go files, but is listed as a folder without Go", name)
		case !none && gofiles[name] && floor(name) < 0:
			t.Errorf("%s holds Go files, but is on no floor of arch_test.go", name)
		}
	}
}

func TestOnePackageComment(t *testing.T) {
	comments := map[string][]string{}
	for _, f := range house(t) {
		// A folder that holds only tests has its comment in one of them.
		if _, seen := comments[f.dir()]; !seen {
			comments[f.dir()] = nil
		}
		if f.ast.Doc != nil {
			comments[f.dir()] = append(comments[f.dir()], f.path)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(comments)) {
		switch in := comments[dir]; len(in) {
		case 0:
			t.Errorf("package %s has no package comment that says what it is for", dir)
		case 1:
		default:
			t.Errorf("package %s has %d package comments, in %s; keep one", dir, len(in), strings.Join(in, " and "))
		}
	}
}

func TestNoInit(t *testing.T) {
	for _, f := range house(t) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s:%d: func init; let the one who needs it call it", f.path, f.line(fn.Pos()))
			}
		}
	}
}

var generated = regexp.MustCompile(`^// Code generated .* DO NOT EDIT\.$`)

func TestFilesAndFunctionsFitTheEye(t *testing.T) {
	used := map[string]bool{}
	for _, f := range house(t) {
		if isGenerated(f.ast) {
			continue
		}
		if n := f.line(f.ast.FileEnd); n > maxFile {
			t.Errorf("%s has %d lines; %d is the limit", f.path, n, maxFile)
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			n := f.line(fn.End()) - f.line(fn.Pos()) + 1
			name := f.dir() + "." + called(fn)
			if n <= maxFunction {
				continue
			}
			used[name] = true
			if excused[name] == "" {
				t.Errorf("%s:%d: %s has %d lines; %d is the limit", f.path, f.line(fn.Pos()), name, n, maxFunction)
			}
		}
	}
	for name := range excused {
		if !used[name] {
			t.Errorf("%s is excused from the limit on functions, but keeps it or is gone", name)
		}
	}
}

func isGenerated(f *ast.File) bool {
	for _, group := range f.Comments {
		for _, c := range group.List {
			if c.Pos() < f.Package && generated.MatchString(c.Text) {
				return true
			}
		}
	}
	return false
}

// called is the name of a function, with its receiver's type in front.
func called(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return fn.Name.Name
	}
	return receiver(fn) + "." + fn.Name.Name
}

func receiver(fn *ast.FuncDecl) string {
	typ := fn.Recv.List[0].Type
	for {
		switch t := typ.(type) {
		case *ast.StarExpr:
			typ = t.X
		case *ast.IndexExpr:
			typ = t.X
		case *ast.IndexListExpr:
			typ = t.X
		case *ast.Ident:
			return t.Name
		default:
			return ""
		}
	}
}

func TestExportedThingsAreDocumented(t *testing.T) {
	for _, f := range house(t) {
		if f.test() || f.ast.Name.Name == "main" || isGenerated(f.ast) {
			continue
		}
		for _, d := range f.ast.Decls {
			for _, name := range undocumented(d) {
				t.Errorf("%s:%d: %s.%s is exported and has no doc comment", f.path, f.line(d.Pos()), f.dir(), name)
			}
		}
	}
}

// undocumented are the exported names that a declaration makes without saying
// what they are for. A group of constants or variables may share one comment.
func undocumented(d ast.Decl) []string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d))) {
			return []string{called(d)}
		}
	case *ast.GenDecl:
		var names []string
		for _, s := range d.Specs {
			switch s := s.(type) {
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
		return names
	}
	return nil
}

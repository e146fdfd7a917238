// Gendocs writes the generated part of docs/ from what the code declares:
// options, commands, hooks, modules and extensions. It is run at the top of the
// repository, or told where that is:
//
//	go run ./server/gendocs [DIR]
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gabberd/gabberd/modules/all"
	"github.com/gabberd/gabberd/server"
)

func main() {
	top := "."
	if len(os.Args) > 1 {
		top = os.Args[1]
	} else if _, err := os.Stat("go.mod"); err != nil {
		fail(errors.New("run it at the top of the repository"))
	}
	if err := write(top); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "gendocs:", err)
	os.Exit(1)
}

// write writes every document below top and removes the pages of modules that
// are gone.
func write(top string) error {
	docs, err := server.Documents(all.Modules)
	if err != nil {
		return err
	}
	for name, text := range docs {
		name = filepath.Join(top, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, text, 0o644); err != nil {
			return err
		}
	}
	pages, err := filepath.Glob(filepath.Join(top, "docs", "modules", "*.md"))
	if err != nil {
		return err
	}
	for _, name := range pages {
		if docs["docs/modules/"+filepath.Base(name)] == nil {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// Command gabberd is the server.
package main

import (
	"os"

	"github.com/gabberd/gabberd/modules/all"
	"github.com/gabberd/gabberd/server"
)

func main() { os.Exit(server.Main(all.Modules)) }

package main

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/gabberd/gabberd/bench/load"
)

func TestMain(m *testing.M) {
	load.Worker() // load.Run starts this program again
	goleak.VerifyTestMain(m)
}

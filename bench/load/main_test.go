package load

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	Worker() // Run starts this program again
	goleak.VerifyTestMain(m)
}

package redis_test

import (
	"testing"

	"go.uber.org/goleak"
)

// Whatever was opened must be gone when it is closed.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

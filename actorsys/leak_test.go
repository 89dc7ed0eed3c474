package actorsys_test

import (
	"testing"

	"go.uber.org/goleak"
)

// Nothing that a test starts may run on when all are through: the systems that they
// start are shut down.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

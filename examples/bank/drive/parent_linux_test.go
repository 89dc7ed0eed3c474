package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/papyra-go/papyra/backend"
)

// asDrive in the environment makes the test program the drive.
const asDrive = "PAPYRA_TEST_AS_DRIVE"

func TestMain(m *testing.M) {
	if os.Getenv(asDrive) != "" {
		main()
	}
	os.Exit(m.Run())
}

// TestTheBankEndsWithADriveThatIsKilled: nobody else would end it,
// and it would hold its store for ever.
func TestTheBankEndsWithADriveThatIsKilled(t *testing.T) {
	drive := exec.Command(os.Args[0], "-serve", "-seconds", "1", "-clients", "2", "-accounts", "2")
	drive.Env = append(os.Environ(), asDrive+"=1", "TMPDIR="+t.TempDir())
	drive.Stderr = os.Stderr
	stdout, err := drive.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := drive.Start(); err != nil {
		t.Fatal(err)
	}
	defer drive.Wait()
	defer drive.Process.Kill()
	store := ""
	says := regexp.MustCompile(`^the bank serves http://[0-9.:]+, on (file://[^,]+),`)
	for lines := bufio.NewScanner(stdout); store == "" && lines.Scan(); {
		if m := says.FindStringSubmatch(lines.Text()); m != nil {
			store = m[1]
		}
	}
	if store == "" {
		t.Fatal("the drive did not say where the bank serves")
	}
	if err := drive.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		b, err := backend.Open(t.Context(), store)
		switch {
		case err == nil:
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			return
		case !errors.Is(err, backend.ErrLocked):
			t.Fatal(err)
		case time.Now().After(deadline):
			t.Fatalf("the bank still runs: %v", err)
		}
	}
}

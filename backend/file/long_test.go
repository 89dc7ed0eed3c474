package file

import "os"

// long is set for the sweeps of make crash: every byte, every moment.
var long = os.Getenv("PAPYRA_LONG") != ""

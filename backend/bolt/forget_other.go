//go:build !linux

package bolt

import "os"

func forget(*os.File) {}

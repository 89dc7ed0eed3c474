//go:build !race

package file

const slow = false

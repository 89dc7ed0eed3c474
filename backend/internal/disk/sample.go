package disk

import (
	"strconv"
	"strings"
)

// Sample names the first few of some files, for people; what is odd is quoted.
func Sample(names []string) string {
	const most = 3
	var shown []string
	for _, n := range names[:min(most, len(names))] {
		if quoted := strconv.Quote(n); n == "" || strings.Contains(n, " ") || quoted != `"`+n+`"` {
			n = quoted
		}
		shown = append(shown, n)
	}
	if len(names) > most {
		shown = append(shown, "…")
	}
	return strings.Join(shown, ", ")
}

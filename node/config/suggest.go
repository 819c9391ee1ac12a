package config

import (
	"fmt"
	"slices"
	"strings"
)

// Unknown is what is said of a word that was written for a command, a flag, a key or a variable and is none: what it was meant to be, and
// which of the known ones it may have been. It is one line.
func Unknown(what, word string, known []string) string {
	return unknown(what, word, nearest(word, known))
}

func unknown(what, word, meant string) string {
	s := fmt.Sprintf("unknown %s %s", what, word)
	if meant != "" {
		s += fmt.Sprintf("; did you mean %s?", meant)
	}
	return s
}

// nearest returns the known word that is closest to what was written: one character away, or one that begins or ends in it as few do
// (--ws-port: --janus-ws-port), or, of long words, two characters away. Empty if there is none.
func nearest(word string, known []string) string {
	parts := strings.NewReplacer("_", "-", ".", "-")
	joined := strings.NewReplacer("-", "")
	wrote := strings.Trim(strings.ToLower(parts.Replace(word)), "-")
	plain := joined.Replace(wrote)
	var one, two string
	var whole []string
	for _, k := range known {
		name := strings.Trim(strings.ToLower(parts.Replace(k)), "-")
		switch d := distance(plain, joined.Replace(name)); {
		case d == 0:
			return k
		case d == 1 && one == "":
			one = k
		case d == 2 && two == "" && len(plain) > 5:
			two = k
		}
		if strings.HasPrefix(name, wrote+"-") || strings.HasSuffix(name, "-"+wrote) {
			whole = append(whole, k)
		}
	}
	switch {
	case one != "":
		return one
	case len(whole) == 1 || len(whole) == 2: // of three or more none can have been meant more than the others
		return slices.MinFunc(whole, func(a, b string) int { return len(a) - len(b) })
	}
	return two
}

// distance is how many characters must be inserted, removed, replaced, or exchanged with their neighbours to make b of a.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := last[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(last[j]+1, row[j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}

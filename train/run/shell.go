package run

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ShellPath writes a path so that a command with it, as it stands in a hint, can be
// pasted into a shell: bare where the shell takes every character as it is, else in
// single quotes. What does not print (line breaks, bytes that are no UTF-8) is escaped in
// $'...', which POSIX has since 2024, and bash, ksh and zsh have had for long. A path
// that begins with a dash, which would be a flag, gets ./ before it.
func ShellPath(path string) string {
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	bare, printable := path != "", utf8.ValidString(path)
	for _, r := range path {
		bare = bare && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("/._-+:,@%", r))
		printable = printable && unicode.IsPrint(r)
	}
	switch {
	case bare && printable:
		return path
	case printable:
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	var s strings.Builder
	s.WriteString("$'")
	for rest := path; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		char := rest[:size]
		rest = rest[size:]
		switch {
		case r == '\'' || r == '\\':
			s.WriteString(`\` + char)
		case unicode.IsPrint(r) && !(r == utf8.RuneError && size == 1):
			s.WriteString(char)
		default:
			for _, b := range []byte(char) {
				fmt.Fprintf(&s, `\%03o`, b) // three digits end the escape, whatever follows
			}
		}
	}
	s.WriteByte('\'')
	return s.String()
}

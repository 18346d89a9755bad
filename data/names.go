package data

import "strconv"

// Name returns what image i is called: its Index.
func (s Subset) Name(i int) string { return strconv.Itoa(s.Index(i)) }

// Class returns the label of image i; "" where the source has no labels.
func (s Subset) Class(i int) string {
	if label, ok := s.Label(i); ok {
		return strconv.Itoa(int(label))
	}
	return ""
}

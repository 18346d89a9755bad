package main

import "fmt"

// count writes a number of things, as in "1 image" and "2 images".
func count[N int | int64](n N, one string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %ss", n, one)
}

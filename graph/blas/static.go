//go:build !linux && !darwin

package blas

import "errors"

const installHint = "only Linux and macOS can load one"

func open(string) (*Library, error) {
	return nil, errors.New("shared libraries are not opened on this system")
}

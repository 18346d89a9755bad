// Package mnist carries the MNIST database of handwritten digits inside the
// program: 60000 training and 10000 test images of 28×28 grey pixels with their
// labels, in the four gzip-compressed IDX files of its first publication, byte
// for byte.
//
// The database was made by Yann LeCun, Corinna Cortes and Christopher J. C.
// Burges, out of NIST's Special Databases 1 and 3. Yann LeCun and Corinna Cortes
// hold its copyright; it is available under the terms of the Creative Commons
// Attribution-ShareAlike 3.0 licence (CC BY-SA 3.0,
// https://creativecommons.org/licenses/by-sa/3.0/). The files are unchanged.
//
// Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based
// learning applied to document recognition", Proceedings of the IEEE 86(11),
// 1998.
package mnist

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"strings"
)

// The names of the four files.
const (
	TrainImages = "train-images-idx3-ubyte.gz"
	TrainLabels = "train-labels-idx1-ubyte.gz"
	TestImages  = "t10k-images-idx3-ubyte.gz"
	TestLabels  = "t10k-labels-idx1-ubyte.gz"
)

//go:embed train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz
//go:embed t10k-images-idx3-ubyte.gz t10k-labels-idx1-ubyte.gz
var files embed.FS

// Names returns the names of the four files: images and labels of the training
// part, then of the test part.
func Names() []string {
	return []string{TrainImages, TrainLabels, TestImages, TestLabels}
}

// SHA256 returns the SHA-256 that the named file must have, in hex, or "" for a
// name that is none of Names.
func SHA256(name string) string {
	switch name {
	case TrainImages:
		return "0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971"
	case TrainLabels:
		return "1787548bbe0bff1ec2ecdc0ef292b02df999e2d1a6002d27500982c652b17203"
	case TestImages:
		return "1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be"
	case TestLabels:
		return "b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b"
	}
	return ""
}

// File returns the named file as published, still compressed, after comparing
// its SHA-256 with the one recorded here. The caller owns the bytes. It is an
// error to ask for another name than those of Names, or to have been built
// from a tree whose copy of the file is damaged.
func File(name string) ([]byte, error) {
	want := SHA256(name)
	if want == "" {
		return nil, fmt.Errorf("mnist: no file %q, have %s", name, strings.Join(Names(), ", "))
	}
	content, err := files.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("mnist: %s: %w", name, err)
	}
	if err := check(name, content, want); err != nil {
		return nil, err
	}
	return content, nil
}

// check compares the SHA-256 of content with want.
func check(name string, content []byte, want string) error {
	sum := sha256.Sum256(content)
	if found := hex.EncodeToString(sum[:]); found != want {
		return fmt.Errorf("mnist: %s: SHA-256 %s, want %s: the file was changed before this program was built; build it again from a clean copy", name, found, want)
	}
	return nil
}

package data

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
)

func nan32() float32 { return float32(math.NaN()) }

// checkRead reads a hostile file and checks what every reader promises: no
// panic, images that are complete and valid, and no allocation that the bytes
// do not justify.
func checkRead(t *testing.T, content []byte, read func(io.Reader, *memory) ([]member, error)) {
	const budget = 1 << 22
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	members, err := read(bytes.NewReader(content), newMemory(budget))
	runtime.ReadMemStats(&after)
	// Buffers and decompressors take less than 1 MiB an array, and a central
	// directory entry has 46 bytes. Plain data is held in at most four bytes for
	// each, or eight in a line of text, and slices that grow are copied a few
	// times. Deflate packs at most 1032 bytes into one, but the budget ends that
	// earlier; text needs no budget before its line ends, at 16 MiB.
	arrays := 1 + len(content)/46
	justified := uint64(arrays)<<20 + 64*uint64(len(content)) + min(1032*uint64(len(content)), longestLine)*24
	if !bytes.Contains(content, []byte{0x1f, 0x8b}) && !bytes.Contains(content, []byte("PK")) {
		justified = 1<<20 + 64*uint64(len(content))
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > justified {
		t.Errorf("%d bytes allocated for %d bytes of input, at most %d are justified", used, len(content), justified)
	}
	if err != nil {
		if len(err.Error()) > 1000 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
		return
	}
	for _, m := range members {
		if m.images == nil {
			continue
		}
		if err := m.images.validate("read"); err != nil || m.images.N == 0 {
			t.Errorf("read without an error: %d images, %v", m.images.N, err)
		}
	}
}

func FuzzReadIDX(f *testing.F) {
	im := Synthetic(3, 4, 5, 1)
	for _, seed := range [][]byte{
		idxOf(im), idxLabelsOf(im), gzipped(idxOf(im)), idxOf(im)[:20], gzipped(idxOf(im))[:30],
		idxFile(magicImages, []uint32{1 << 30, 1 << 30, 1 << 30}, nil),
		gzipped(idxFile(magicImages, []uint32{1 << 20, 1, 3}, make([]byte, 1<<16))),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		checkRead(t, content, func(r io.Reader, mem *memory) ([]member, error) {
			in, err := newInput("fuzz", r, int64(len(content)), int64(len(content)), mem)
			if err != nil {
				return nil, err
			}
			m, err := readIDX(in, anythingWanted)
			return []member{m}, err
		})
	})
}

func FuzzReadNPY(f *testing.F) {
	bytesOf := npyFile("|u1", "(2, 4)", make([]byte, 8))
	for _, seed := range [][]byte{
		bytesOf, npyFile("<f4", "(1, 2)", float32s(0, 0.5)), npyFile("<f8", "(1, 1)", make([]byte, 8)), npyFile("|b1", "(1, 2, 2, 1)", []byte{0, 1, 1, 0}),
		version2(bytesOf), gzipped(bytesOf), npyFile("|u1", "(2000000000, 4)", nil), npyFile("|u1", "()", nil), npyFile("|O", "(1,)", nil),
		npyFileOf("{'descr': '|u1', 'fortran_order': False, 'shape': (1}", nil), npyFileOf("}'descr': 'fortran_order': 'shape': \n", nil),
		npzFile(array{"x_train", bytesOf}, array{"y_train", npyFile("<i8", "(2,)", make([]byte, 16))}),
		npzFile(array{"arr_0", bytesOf})[:50], encryptedNPZ("train", bytesOf), npzFile(array{"y_train", npyFile("|u1", "(2,)", make([]byte, 2))}),
		poked(bytesOf, 8, 30), poked(bytesOf, 8, bytesOf[8]+1), npyFileOf("{'descr': '|u1', 'fortran_order': False, 'shape': (1\n", nil),
		npyFile("|u1", strings.Repeat("(", 60000), nil), npyFile("|u1", "("+strings.Repeat("1,", 10000)+")", []byte{0}), npyFile("|u1", "("+strings.Repeat("2,", 10000)+")", nil),
		npyFileOf("{'descr': '|u1', 'fortran_order': "+strings.Repeat("0", 60000)+", 'shape': (1, 1), }\n", nil), poked(bytesOf, 6, 3),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		checkRead(t, content, func(r io.Reader, mem *memory) ([]member, error) {
			if bytes.HasPrefix(content, []byte("PK")) {
				return readNPZ("fuzz", bytes.NewReader(content), int64(len(content)), mem)
			}
			in, err := newInput("fuzz", r, int64(len(content)), int64(len(content)), mem)
			if err != nil {
				return nil, err
			}
			m, err := readNPY(in, imagesWanted)
			return []member{m}, err
		})
	})
}

func FuzzReadAMAT(f *testing.F) {
	for _, seed := range []string{"0 1 1 0\n1 1 1 1\n", "0.5 0 1 0 7\r\n", "1e-3\n\n0x1p-2\n", "0 1\n0\n", "nan", "+0 -0 .5 1.\n", "0x1p0 1_0 0x_1p0 0\n", "0,0,0,1\n", "0;1;1;0\n", "infinity 1e999 -nan 0\n", string(gzipped([]byte("0 1 1 0\n")))} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		checkRead(t, content, func(r io.Reader, mem *memory) ([]member, error) {
			in, err := newInput("fuzz", r, int64(len(content)), int64(len(content)), mem)
			if err != nil {
				return nil, err
			}
			text, err := measureText("fuzz", bytes.NewReader(content), int64(len(content)), mem)
			if err != nil {
				return nil, err
			}
			m, err := readAMAT(in, text)
			return []member{m}, err
		})
	})
}

// A header that promises much, within the memory but beyond what so few compressed
// bytes can hold, costs nothing.
func TestPromiseAloneAllocatesNothing(t *testing.T) {
	for name, content := range map[string][]byte{
		"idx":     gzipped(idxFile(magicImages, []uint32{1 << 30, 1, 1}, make([]byte, 100))),
		"uint8":   gzipped(npyFile("|u1", "(1073741824, 1)", make([]byte, 100))),
		"float64": gzipped(npyFile("<f8", "(134217728, 1)", make([]byte, 100))),
		"labels":  npzFile(array{"x_train", npyFile("|u1", "(1, 1)", []byte{0})}, array{"y_train", npyFile("|u1", "(1073741824,)", make([]byte, 100))}),
		"lying":   lyingNPZ("train", npyFile("|u1", "(1073741824, 1)", make([]byte, 100)), 1<<30),
	} {
		used, err := allocated(func() error { _, err := readBytes(name, content, newMemory(1<<40)); return err })
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		// gzip and buffers need some 200 KiB.
		if used > 1<<20 {
			t.Errorf("%s: %d bytes allocated for 100 that arrived", name, used)
		}
	}
}

// allocated says how many bytes a call allocates, freed or not.
func allocated(call func() error) (uint64, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := call()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, err
}

// Pixels are allocated once, compressed or not, so that what the memory is asked for is
// what a file needs.
func TestPixelsAreHeldOnce(t *testing.T) {
	const n, d = 1500, 900 // 1.35 MB as bytes
	outcomes := make([]byte, n*d)
	var text, grey bytes.Buffer
	for range n {
		text.WriteString(strings.Repeat("0 1 ", d/2))
		text.WriteByte('\n')
		grey.WriteString(strings.Repeat("0.5 ", d))
		grey.WriteByte('\n')
	}
	shape := fmt.Sprintf("(%d, %d)", n, d)
	images := npyFile("|u1", shape, outcomes)
	for _, tt := range []struct {
		name    string
		content []byte
		held    uint64
	}{
		{"idx", idxFile(magicImages, []uint32{n, 30, 30}, outcomes), n * d},
		{"idx.gz", gzipped(idxFile(magicImages, []uint32{n, 30, 30}, outcomes)), n * d},
		{"npy.gz", gzipped(images), n * d},
		{"float.npy.gz", gzipped(npyFile("<f4", shape, make([]byte, 4*n*d))), 4 * n * d},
		{"npz", npzFile(array{"train", images}, array{"test", images}), 2 * n * d},
		{"labels.npz", npzFile(array{"x_train", npyFile("|u1", "(1, 1)", []byte{0})}, array{"y_train", npyFile("|u1", fmt.Sprintf("(%d,)", n*d), outcomes)}), n * d},
		{"a.amat", text.Bytes(), n * d},
		{"b.amat.gz", gzipped(text.Bytes()), n * d},
		{"grey.amat", grey.Bytes(), 4 * n * d},
	} {
		used, err := allocated(func() error { _, err := readBytes(tt.name, tt.content, plenty()); return err })
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		// Two passes with their buffers and decompressors need less than 1 MiB.
		if used > tt.held+1<<20 {
			t.Errorf("%s: %d bytes allocated, want %d and less than 1 MiB besides", tt.name, used, tt.held)
		}
	}
}

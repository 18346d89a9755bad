package data

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The files of the tests are built here, byte by byte.

const (
	trainImages = "train-images-idx3-ubyte"
	trainLabels = "train-labels-idx1-ubyte"
	testImages  = "t10k-images-idx3-ubyte"
	testLabels  = "t10k-labels-idx1-ubyte"
)

// idxFile is an IDX file with any header.
func idxFile(magic uint32, dims []uint32, payload []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, magic)
	for _, d := range dims {
		b = binary.BigEndian.AppendUint32(b, d)
	}
	return append(b, payload...)
}

// idxOf is the IDX image file of im, idxLabelsOf the label file.
func idxOf(im Images) []byte {
	return idxFile(magicImages, []uint32{uint32(im.N), uint32(im.Rows), uint32(im.Cols)}, im.Bytes)
}

func idxLabelsOf(im Images) []byte {
	return idxFile(magicLabels, []uint32{uint32(im.N)}, im.Labels)
}

// npyFile is a .npy file with any type and shape, the latter as Python writes it.
func npyFile(descr, shape string, payload []byte) []byte {
	return npyFileOf(fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }\n", descr, shape), payload)
}

// npyFileOf is a .npy file with any dictionary.
func npyFileOf(dict string, payload []byte) []byte {
	b := append([]byte("\x93NUMPY\x01\x00"), byte(len(dict)), byte(len(dict)>>8))
	return append(append(b, dict...), payload...)
}

// array is a named array of an .npz archive.
type array struct {
	name string
	file []byte
}

// npzFile is a compressed archive.
func npzFile(arrays ...array) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, a := range arrays {
		w, err := z.Create(a.name + ".npy")
		if err != nil {
			panic(err)
		}
		w.Write(a.file)
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// storedNPZ is an archive of one array, uncompressed as numpy.savez writes it.
func storedNPZ(name string, file []byte) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateHeader(&zip.FileHeader{Name: name + ".npy", Method: zip.Store})
	if err != nil {
		panic(err)
	}
	w.Write(file)
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// encryptedNPZ is an archive whose flags say that it is encrypted.
func encryptedNPZ(name string, file []byte) []byte {
	return rawNPZ(file, zip.FileHeader{Name: name + ".npy", Flags: 1, CompressedSize64: uint64(len(file)), UncompressedSize64: uint64(len(file))})
}

// lyingNPZ is an archive that promises more bytes than it has, packed and unpacked.
func lyingNPZ(name string, file []byte, size uint64) []byte {
	return rawNPZ(file, zip.FileHeader{Name: name + ".npy", CompressedSize64: size, UncompressedSize64: size})
}

// rawNPZ is an archive of one array, not compressed, with any header.
func rawNPZ(file []byte, header zip.FileHeader) []byte {
	header.CRC32 = crc32.ChecksumIEEE(file)
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateRaw(&header)
	if err != nil {
		panic(err)
	}
	w.Write(file)
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func gzipped(b []byte) []byte {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(b)
	if err := w.Close(); err != nil {
		panic(err)
	}
	return z.Bytes()
}

func float32s(values ...float32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func float64s(order binary.AppendByteOrder, values ...float64) []byte {
	var b []byte
	for _, v := range values {
		b = order.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

// folder is a new folder with files.
func folder(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// message is the text of err with the folder's path left out.
func message(err error, dir string) string {
	if err == nil {
		return "no error"
	}
	text := strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), "")
	return strings.ReplaceAll(text, dir, "DIR")
}

// plenty is the memory of tests that are not about memory.
func plenty() *memory { return newMemory(1 << 30) }

// readBytes reads a file from memory.
func readBytes(name string, content []byte, mem *memory) ([]member, error) {
	return readFile(name, bytes.NewReader(content), int64(len(content)), imagesWanted, mem)
}

package tfevents

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
)

// A record is framed by its length and by checksums:
//
//	8 bytes  length of the data, little-endian
//	4 bytes  masked CRC-32C of these eight
//	         the data
//	4 bytes  masked CRC-32C of the data
const (
	headSize = 8 + 4
	tailSize = 4
)

// ErrDamaged: a record is not whole, or is none. What stands before it in the file is not touched
// by that; what follows cannot be found.
var ErrDamaged = errors.New("damaged record")

// maskedSum is the CRC-32C (Castagnoli) of data, turned and moved: a file may hold checksums of
// what holds checksums, which a CRC is weak on.
func maskedSum(data []byte) uint32 {
	sum := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
	return bits.RotateLeft32(sum, -15) + 0xa282ead8
}

// appendRecord appends data as a record.
func appendRecord(b, data []byte) []byte {
	head := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(data)))
	b = binary.LittleEndian.AppendUint32(b, maskedSum(b[head:]))
	b = append(b, data...)
	return binary.LittleEndian.AppendUint32(b, maskedSum(data))
}

// readRecord returns the data of the next record, or io.EOF at the end of a record.
func readRecord(r io.Reader) ([]byte, error) {
	var head [headSize]byte
	switch n, err := io.ReadFull(r, head[:]); {
	case err == io.EOF:
		return nil, io.EOF
	case err == io.ErrUnexpectedEOF:
		return nil, fmt.Errorf("%w: the file ends after %d of the %d bytes of its head", ErrDamaged, n, headSize)
	case err != nil:
		return nil, err
	}
	if got, want := binary.LittleEndian.Uint32(head[8:]), maskedSum(head[:8]); got != want {
		return nil, fmt.Errorf("%w: the checksum of its length is %08x, its bytes have %08x", ErrDamaged, got, want)
	}
	length := binary.LittleEndian.Uint64(head[:8])
	if length > largest {
		return nil, fmt.Errorf("%w: it says it has %d bytes, want at most %d", ErrDamaged, length, largest)
	}
	var data bytes.Buffer // which grows with what is there, and not with what is said to be
	n, err := io.CopyN(&data, r, int64(length)+tailSize)
	if err == io.EOF {
		return nil, fmt.Errorf("%w: the file ends after %d of its %d bytes", ErrDamaged, n, length+tailSize)
	}
	if err != nil {
		return nil, err
	}
	body, tail := data.Bytes()[:length], data.Bytes()[length:]
	if got, want := binary.LittleEndian.Uint32(tail), maskedSum(body); got != want {
		return nil, fmt.Errorf("%w: its checksum is %08x, its bytes have %08x", ErrDamaged, got, want)
	}
	return body, nil
}

// largest is what a record may have, in bytes: more than any picture that is put into one.
const largest = 1 << 28

package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// file puts a file together by hand.
func file(header string, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func decodeBytes(b []byte) ([]Tensor, map[string]string, error) {
	return Decode(bytes.NewReader(b), int64(len(b)))
}

func TestBytesAreThoseOfTheFormat(t *testing.T) {
	var got bytes.Buffer
	err := Encode(&got, []Tensor{
		{"b", []int{1, 2}, []float32{1, -2}},
		{"a", nil, []float32{0.5}},
		{"none", []int{0, 3}, nil},
	}, map[string]string{"z": "2", "k": "\"q\""})
	if err != nil {
		t.Fatal(err)
	}
	header := `{"__metadata__":{"k":"\"q\"","z":"2"},` +
		`"b":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},` +
		`"a":{"dtype":"F32","shape":[],"data_offsets":[8,12]},` +
		`"none":{"dtype":"F32","shape":[0,3],"data_offsets":[12,12]}}`
	header += strings.Repeat(" ", 8-len(header)%8) // not a multiple of 8 itself, or the test would not see padding
	want := file(header,
		0x00, 0x00, 0x80, 0x3f, // 1 = 2^0: exponent 127
		0x00, 0x00, 0x00, 0xc0, // -2
		0x00, 0x00, 0x00, 0x3f) // 0.5
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got\n%q\nwant\n%q", got.Bytes(), want)
	}
}

func TestRoundTripKeepsEveryBit(t *testing.T) {
	tensor := rapid.Custom(func(t *rapid.T) Tensor {
		shape := rapid.SliceOfN(rapid.IntRange(0, 4), 0, 3).Draw(t, "shape")
		n := 1
		for _, d := range shape {
			n *= d
		}
		bits := rapid.SliceOfN(rapid.Uint32(), n, n).Draw(t, "bits") // NaN and infinities too
		data := make([]float32, n)
		for i, b := range bits {
			data[i] = math.Float32frombits(b)
		}
		return Tensor{rapid.String().Draw(t, "name"), shape, data}
	})
	name := func(t Tensor) string { return t.Name }
	rapid.Check(t, func(t *rapid.T) {
		tensors := rapid.SliceOfNDistinct(tensor, 0, 6, name).Draw(t, "tensors")
		metadata := rapid.MapOfN(rapid.String(), rapid.String(), 1, 4).Draw(t, "metadata")
		var file bytes.Buffer
		if err := Encode(&file, tensors, metadata); err != nil {
			t.Fatal(err)
		}
		if n := binary.LittleEndian.Uint64(file.Bytes()); (8+n)%8 != 0 {
			t.Fatalf("the data section starts at byte %d, not at a multiple of 8", 8+n)
		}
		got, gotMetadata, err := decodeBytes(file.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tensors, got, cmpopts.EquateEmpty(), sameFloat32Bits); diff != "" {
			t.Fatalf("-want +got\n%s", diff)
		}
		if diff := cmp.Diff(metadata, gotMetadata); diff != "" {
			t.Fatalf("metadata: -want +got\n%s", diff)
		}
	})
}

// sameFloat32Bits tells NaN payloads and the two zeros apart.
var sameFloat32Bits = cmp.Comparer(func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) })

// A tensor longer than one chunk of the conversion must not lose its place.
func TestLongTensorsCrossChunks(t *testing.T) {
	const n = 2*chunk/floatSize + 3
	data := make([]float32, n)
	for i := range data {
		data[i] = float32(i)
	}
	want := []Tensor{{"first", []int{n}, data}, {"second", []int{1}, []float32{-1}}}
	var file bytes.Buffer
	if err := Encode(&file, want, nil); err != nil {
		t.Fatal(err)
	}
	got, _, err := decodeBytes(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(want, got) {
		t.Error("the tensors differ")
	}
}

func TestReadsAnyKeyOrder(t *testing.T) {
	file := file(`{ "second" : {"data_offsets": [4,12], "shape": [2], "dtype": "F32"},`+
		`"first":{"shape":[],"data_offsets":[0,4],"dtype":"F32"},"__metadata__":{"by":"\u0068and"}}`+"\n ",
		0, 0, 0x80, 0x3f, 0, 0, 0, 0x40, 0, 0, 0x40, 0x40)
	tensors, metadata, err := decodeBytes(file)
	if err != nil {
		t.Fatal(err)
	}
	want := []Tensor{{"first", nil, []float32{1}}, {"second", []int{2}, []float32{2, 3}}}
	if diff := cmp.Diff(want, tensors, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if metadata["by"] != "hand" || len(metadata) != 1 {
		t.Errorf("metadata %v", metadata)
	}
}

func TestNamesWhatIsWrong(t *testing.T) {
	four := []byte{0, 0, 0, 0}
	eight := make([]byte, 8)
	length := func(n uint64, rest string) []byte {
		return append(binary.LittleEndian.AppendUint64(nil, n), rest...)
	}
	for _, test := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "safetensors: the file has 0 bytes, want 8 for the header's length and a header: cut short?"},
		{"only a length", length(2, ""), "safetensors: the file has 8 bytes, want 8 for the header's length and a header: cut short?"},
		{"a picture", []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), "not a safetensors file: byte 8 is 0x00, want 0x7b, the brace that opens the header"},
		{"header beyond the file", length(3, "{}"), "safetensors: header of 3 bytes promised at byte 0, 2 bytes follow: cut short?"},
		{"header of 2^64-1 bytes", length(math.MaxUint64, "{}"), "safetensors: header of 18446744073709551615 bytes promised at byte 0, 2 bytes follow: cut short?"},
		{"header of no bytes", length(0, "{}"), "safetensors: header: not JSON: unexpected end of JSON input"},
		{"not JSON", file(`{"a":}`), "safetensors: header: not JSON: invalid character '}' looking for beginning of value"},
		{"two objects", file(`{}{}`), "safetensors: header: not JSON: invalid character '{' after top-level value"},
		{"not UTF-8", file("{\"\xff\":1}"), "safetensors: header: not UTF-8"},
		{"tensor twice", file(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[],"data_offsets":[4,8]}}`, eight...),
			`safetensors: header: key "a" is there twice`},
		{"metadata twice", file(`{"__metadata__":{},"__metadata__":{}}`), `safetensors: header: key "__metadata__" is there twice`},
		{"metadata key twice", file(`{"__metadata__":{"k":"1","k":"2"}}`), `safetensors: header: __metadata__: key "k" is there twice`},
		{"metadata not text", file(`{"__metadata__":{"k":1}}`), `safetensors: header: __metadata__: "1" is not a string`},
		{"metadata not an object", file(`{"__metadata__":[]}`), `safetensors: header: __metadata__: "[" where "{" should open`},
		{"entry not an object", file(`{"a":null}`), `safetensors: header: tensor "a": "<nil>" where "{" should open`},
		{"key missing", file(`{"a":{"dtype":"F32","shape":[]}}`), `safetensors: header: tensor "a": 2 of the keys dtype, shape, data_offsets, want all 3`},
		{"key unknown", file(`{"a":{"dtype":"F32","shapes":[]}}`), `safetensors: header: tensor "a": unknown key "shapes", want dtype, shape, data_offsets`},
		{"one offset", file(`{"a":{"data_offsets":[0]}}`), `safetensors: header: tensor "a": data_offsets: 1 numbers, want 2`},
		{"negative offset", file(`{"a":{"data_offsets":[-4,0]}}`), `safetensors: header: tensor "a": data_offsets: "-4" is not a whole number from 0 to 9223372036854775807`},
		{"fractional dimension", file(`{"a":{"shape":[1.0]}}`), `safetensors: header: tensor "a": shape: "1.0" is not a whole number from 0 to 9223372036854775807`},
		{"null dimension", file(`{"a":{"shape":[null]}}`), `safetensors: header: tensor "a": shape: "<nil>" is not a whole number from 0 to 9223372036854775807`},
		{"nested dimension", file(`{"a":{"shape":[[1]]}}`), `safetensors: header: tensor "a": shape: "[" is not a whole number from 0 to 9223372036854775807`},
		{"dimension of 2^63", file(`{"a":{"shape":[9223372036854775808]}}`), `safetensors: header: tensor "a": shape: "9223372036854775808" is not a whole number from 0 to 9223372036854775807`},
		{"other dtype", file(`{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}`, four...), `safetensors: tensor "a": dtype "BF16", want F32`},
		{"overlap", file(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[],"data_offsets":[2,6]}}`, eight...),
			`safetensors: tensor "b" begins at byte 2 of the data, inside the tensor before it, which ends at 4`},
		{"gap", file(`{"a":{"dtype":"F32","shape":[],"data_offsets":[4,8]}}`, eight...),
			`safetensors: tensor "a" begins at byte 4 of the data, 4 bytes after the tensor before it, want none`},
		{"backwards", file(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[],"data_offsets":[4,0]}}`, four...),
			`safetensors: tensor "b" ends at byte 0 of the data, before its beginning at 4`},
		{"data cut short", file(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`, 0, 0, 0), `safetensors: tensor "a" ends at byte 4 of the data, the file has 3: cut short?`},
		{"data beyond 2^62", file(`{"a":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,4611686018427387904]}}`, four...),
			`safetensors: tensor "a" ends at byte 4611686018427387904 of the data, the file has 4: cut short?`},
		{"data left over", file(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`, eight...), `safetensors: 8 bytes of data, the header describes 4: something was appended?`},
		{"shape too large", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, four...), `safetensors: tensor "a": shape [2] does not fit its 4 bytes`},
		{"shape too small", file(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,4]}}`, four...), `safetensors: tensor "a": shape [0] does not fit its 4 bytes`},
		{"half a value", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,6]}}`, 0, 0, 0, 0, 0, 0), `safetensors: tensor "a": shape [1] does not fit its 6 bytes`},
		// 2^32 x 2^32 is 0 in 64 bits, and would pass for an empty tensor.
		{"product overflows", file(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`),
			`safetensors: tensor "a": shape [4294967296 4294967296] does not fit its 0 bytes`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := decodeBytes(test.file)
			if got := fmt.Sprint(err); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestRefusesWhatItCouldNotReadBack(t *testing.T) {
	one := []float32{1}
	for _, test := range []struct {
		name     string
		tensors  []Tensor
		metadata map[string]string
		want     string
	}{
		{"twice", []Tensor{{"a", nil, one}, {"a", nil, one}}, nil, `safetensors: tensor "a" is there twice`},
		{"reserved", []Tensor{{"__metadata__", nil, one}}, nil, `safetensors: tensor name "__metadata__" is reserved by the format`},
		{"name not UTF-8", []Tensor{{"\xff", nil, one}}, nil, `safetensors: tensor name "\xff" is not UTF-8`},
		{"metadata not UTF-8", nil, map[string]string{"k": "\xff"}, `safetensors: metadata "k" is not UTF-8`},
		{"shape", []Tensor{{"a", []int{2}, one}}, nil, `safetensors: tensor "a": shape [2] does not fit its 1 values`},
		{"negative", []Tensor{{"a", []int{-1, -1}, one}}, nil, `safetensors: tensor "a": shape [-1 -1] does not fit its 1 values`},
		{"overflow", []Tensor{{"a", []int{1 << 32, 1 << 32}, nil}}, nil, `safetensors: tensor "a": shape [4294967296 4294967296] does not fit its 0 values`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var file bytes.Buffer
			err := Encode(&file, test.tensors, test.metadata)
			if fmt.Sprint(err) != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
			if file.Len() != 0 {
				t.Errorf("%d bytes were written all the same", file.Len())
			}
		})
	}
}

func TestPassesOnEveryWriteError(t *testing.T) {
	tensors := []Tensor{{"a", []int{3}, []float32{1, 2, 3}}}
	full := errors.New("full")
	var file bytes.Buffer
	if err := Encode(&file, tensors, nil); err != nil {
		t.Fatal(err)
	}
	for room := range file.Len() {
		w := &limitedWriter{room: room, err: full}
		if err := Encode(w, tensors, nil); !errors.Is(err, full) {
			t.Errorf("room for %d of %d bytes: error %v", room, file.Len(), err)
		}
	}
}

// limitedWriter takes room bytes, then fails.
type limitedWriter struct {
	room int
	err  error
}

func (w *limitedWriter) Write(b []byte) (int, error) {
	n := min(len(b), w.room)
	w.room -= n
	if n < len(b) {
		return n, w.err
	}
	return n, nil
}

func TestElementsMatchesThePlainProduct(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := rapid.SliceOfN(rapid.IntRange(-1, 6), 0, 4).Draw(t, "shape")
		limit := rapid.Int64Range(0, 40).Draw(t, "limit")
		want := int64(1)
		for _, d := range shape {
			want *= int64(d)
		}
		wantOK := want <= limit && !slices.Contains(shape, -1)
		got, ok := elements(shape, limit)
		if ok != wantOK || ok && got != want {
			t.Fatalf("shape %v, limit %d: got %d %t, want %d %t", shape, limit, got, ok, want, wantOK)
		}
	})
}

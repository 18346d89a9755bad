// Package onnx writes models in the Open Neural Network Exchange format: a protocol buffer with a
// graph of named operators and their constants. It knows of the format what the networks here need,
// and nothing of what is computed.
//
// Source: onnx.proto3 of the ONNX standard, for the numbers of the fields.
package onnx

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Opset is the version of the operators: 17, of 2022, which every runtime of today reads. IR is
// the version of the file that goes with it.
const (
	Opset = 17
	IR    = 8
)

// maxSize is what a protocol buffer may have, in bytes.
const maxSize = math.MaxInt32

// Model is a file.
type Model struct {
	Producer string // the program that wrote it
	Version  string // of that program
	Doc      string
	Metadata map[string]string
	Graph    Graph
}

// Graph is what is computed.
type Graph struct {
	Name            string
	Nodes           []Node // each after those whose results it takes
	Constants       []Tensor
	Inputs, Outputs []Value
}

// Node is an operator: it takes values by their names, and gives results names.
type Node struct {
	Op              string
	Inputs, Outputs []string
	Ints            map[string]int64 // attributes
	Lists           map[string][]int64
}

// Tensor is a constant of float32 numbers or, where Floats is nil, of whole numbers.
type Tensor struct {
	Name   string
	Shape  []int // nil: a single number
	Floats []float32
	Ints   []int64
}

// Value is an input or an output, an array of float32 numbers.
type Value struct {
	Name  string
	Doc   string
	Shape []Dim
}

// Dim is an extent: a number, or a name where it is free.
type Dim struct {
	Size int
	Name string
}

// Encode returns the bytes of the file: the same for the same model.
func (m *Model) Encode() ([]byte, error) {
	size := 0
	for _, t := range m.Graph.Constants {
		size += 4*len(t.Floats) + 8*len(t.Ints)
	}
	if size > maxSize-1<<20 {
		return nil, fmt.Errorf("the weights come to %.1f GB, and an ONNX file holds at most 2: a smaller network", float64(size)/1e9)
	}
	graph, err := m.Graph.encode()
	if err != nil {
		return nil, err
	}
	var b message
	b.int(1, IR)
	b.text(2, m.Producer)
	b.text(3, m.Version)
	b.text(6, m.Doc)
	b.bytes(7, graph)
	var opset message
	opset.text(1, "")
	opset.int(2, Opset)
	b.bytes(8, opset)
	for _, key := range slices.Sorted(maps.Keys(m.Metadata)) {
		var entry message
		entry.text(1, key)
		entry.text(2, m.Metadata[key])
		b.bytes(14, entry)
	}
	return b, nil
}

func (g *Graph) encode() (message, error) {
	var b message
	for i, n := range g.Nodes {
		b.bytes(1, n.encode(fmt.Sprintf("%s_%d", n.Op, i)))
	}
	b.text(2, g.Name)
	for _, t := range g.Constants {
		constant, err := t.encode()
		if err != nil {
			return nil, err
		}
		b.bytes(5, constant)
	}
	for _, v := range g.Inputs {
		b.bytes(11, v.encode())
	}
	for _, v := range g.Outputs {
		b.bytes(12, v.encode())
	}
	return b, nil
}

func (n *Node) encode(name string) (b message) {
	for _, input := range n.Inputs {
		b.text(1, input)
	}
	for _, output := range n.Outputs {
		b.text(2, output)
	}
	b.text(3, name)
	b.text(4, n.Op)
	const isInt = 2
	for _, key := range slices.Sorted(maps.Keys(n.Ints)) {
		var attribute message
		attribute.text(1, key)
		attribute.int(3, n.Ints[key])
		attribute.int(20, isInt)
		b.bytes(5, attribute)
	}
	const isInts = 7
	for _, key := range slices.Sorted(maps.Keys(n.Lists)) {
		var attribute message
		attribute.text(1, key)
		for _, v := range n.Lists[key] {
			attribute.int(8, v)
		}
		attribute.int(20, isInts)
		b.bytes(5, attribute)
	}
	return b
}

// The types of elements.
const (
	float32s = 1
	int64s   = 7
)

func (t *Tensor) encode() (b message, err error) {
	n := 1
	for _, extent := range t.Shape {
		b.int(1, int64(extent))
		n *= extent
	}
	var raw []byte
	switch {
	case len(t.Floats) == n && t.Ints == nil:
		b.int(2, float32s)
		raw = make([]byte, 0, 4*n)
		for _, v := range t.Floats {
			raw = protowire.AppendFixed32(raw, math.Float32bits(v))
		}
	case len(t.Ints) == n && t.Floats == nil:
		b.int(2, int64s)
		for _, v := range t.Ints {
			raw = protowire.AppendFixed64(raw, uint64(v))
		}
	default:
		return nil, fmt.Errorf("%s has shape %v, but %d numbers and %d whole numbers: want %d of one", t.Name, t.Shape, len(t.Floats), len(t.Ints), n)
	}
	if t.Name == "" {
		return nil, errors.New("a constant has no name")
	}
	b.text(8, t.Name)
	b.bytes(9, raw)
	return b, nil
}

func (v *Value) encode() (b message) {
	var shape message
	for _, d := range v.Shape {
		var dim message
		if d.Name != "" {
			dim.text(2, d.Name)
		} else {
			dim.int(1, int64(d.Size))
		}
		shape.bytes(1, dim)
	}
	var tensor, typ message
	tensor.int(1, float32s)
	tensor.bytes(2, shape)
	typ.bytes(1, tensor)
	b.text(1, v.Name)
	b.bytes(2, typ)
	b.text(3, v.Doc)
	return b
}

// message is a protocol buffer that is written: fields by their numbers.
type message []byte

func (b *message) int(field protowire.Number, v int64) {
	*b = protowire.AppendVarint(protowire.AppendTag(*b, field, protowire.VarintType), uint64(v))
}

func (b *message) bytes(field protowire.Number, v []byte) {
	*b = protowire.AppendBytes(protowire.AppendTag(*b, field, protowire.BytesType), v)
}

func (b *message) text(field protowire.Number, v string) { b.bytes(field, []byte(v)) }

package train

import (
	"fmt"
	"slices"

	"elbo/graph"
	"elbo/model"
	"elbo/train/onnx"
)

// sequence adds a network with convolutions. An image goes in, and comes out, as a row with its
// channels last; between them maps have their channels first, as the operators want them.
func (b *exported) sequence(n *model.Sequence, x, result string) (string, error) {
	first, last := n.Modules[0], n.Modules[len(n.Modules)-1]
	if first.Kind == model.Conv2d {
		s := first.Conv
		x = b.transpose("x.map", b.reshape("x.image", x, s.Rows, s.Cols, s.Fine), 0, 3, 1, 2)
	}
	if last.Kind != model.ConvTranspose2d {
		return b.modules(n.Modules, x, result)
	}
	y, err := b.modules(n.Modules, x, last.Name+".out")
	if err != nil {
		return "", err
	}
	return b.reshape(result, b.transpose(result+".image", y, 0, 2, 3, 1), last.Out), nil
}

// modules adds those of a network, the last one with the given result.
func (b *exported) modules(modules []model.Module, x, result string) (string, error) {
	for i, m := range modules {
		y := m.Name + ".out"
		if i == len(modules)-1 {
			y = result
		}
		for _, p := range []*graph.Param{m.Weight, m.Bias} {
			if p != nil {
				b.g.Constants = append(b.g.Constants, onnx.Tensor{Name: p.Name, Shape: p.Shape, Floats: p.Value})
			}
		}
		switch m.Kind {
		case model.Linear:
			b.g.Nodes = append(b.g.Nodes, onnx.Node{Op: "Gemm", Inputs: []string{x, m.Weight.Name, m.Bias.Name}, Outputs: []string{y}, Ints: map[string]int64{"transB": 1}})
		case model.Conv2d, model.ConvTranspose2d:
			b.g.Nodes = append(b.g.Nodes, convolution(m, x, y))
		case model.Activate:
			op, err := operator(m.Activation)
			if err != nil {
				return "", err
			}
			b.node(op, y, x)
		case model.Flatten:
			b.g.Nodes = append(b.g.Nodes, onnx.Node{Op: "Flatten", Inputs: []string{x}, Outputs: []string{y}, Ints: map[string]int64{"axis": 1}})
		case model.Unflatten:
			b.reshape(y, x, m.Map.Channels, m.Map.Rows, m.Map.Cols)
		case model.ResidualBlock:
			inside, err := b.modules(m.Inside, x, m.Name+".inside")
			if err != nil {
				return "", err
			}
			b.node("Add", y, x, inside)
		default:
			return "", &ConfigError{fmt.Errorf("%s, a module of kind %d, cannot be exported", m.Name, m.Kind)}
		}
		x = y
	}
	return x, nil
}

// convolution is the operator of a convolution or its transpose, with the padding that makes the
// sizes of its maps what they are.
func convolution(m model.Module, x, y string) onnx.Node {
	s := m.Conv
	k, stride, before := int64(s.Kernel), int64(s.Stride), int64(s.Kernel/2)
	n := onnx.Node{
		Op: "Conv", Inputs: []string{x, m.Weight.Name, m.Bias.Name}, Outputs: []string{y},
		Lists: map[string][]int64{"kernel_shape": {k, k}, "strides": {stride, stride}, "pads": {before, before, before, before}},
	}
	if m.Kind == model.ConvTranspose2d {
		rows, cols := s.CoarseMap()
		n.Op = "ConvTranspose"
		n.Lists["output_padding"] = []int64{int64(s.Rows-1) - int64(rows-1)*stride, int64(s.Cols-1) - int64(cols-1)*stride}
	}
	return n
}

// reshape gives the numbers of each image another shape.
func (b *exported) reshape(result, x string, shape ...int) string {
	extents := []int64{-1}
	for _, n := range shape {
		extents = append(extents, int64(n))
	}
	b.g.Constants = append(b.g.Constants, onnx.Tensor{Name: result + ".shape", Shape: []int{len(extents)}, Ints: extents})
	return b.node("Reshape", result, x, result+".shape")
}

// transpose puts axes into another order.
func (b *exported) transpose(result, x string, axes ...int64) string {
	b.g.Nodes = append(b.g.Nodes, onnx.Node{Op: "Transpose", Inputs: []string{x}, Outputs: []string{result}, Lists: map[string][]int64{"perm": slices.Clone(axes)}})
	return result
}

package train

import (
	"fmt"
	"testing"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
)

// TestExportedConvolutionsComputeWhatTheModelDoes, of both kinds of networks, with strides that
// leave something of the image and that do not, with hidden layers and without.
func TestExportedConvolutionsComputeWhatTheModelDoes(t *testing.T) {
	for i, network := range []model.NetworkName{model.Conv, model.Residual} {
		for stride := 1; stride <= 3; stride++ {
			t.Run(fmt.Sprintf("%s, stride %d", network, stride), func(t *testing.T) {
				c := smallConfig(t)
				c.Binarise = data.Static
				n := c.network()
				n.Layers, n.Activation, n.Hidden = network, graph.Activations[i+1], [][]int{{}, {9}, {7, 5}}[stride-1]
				n.ConvSettings = ConvSettings{Widths: []int{3, 4}, Kernel: 2*(stride%2) + 3, Stride: stride, Blocks: 2}
				if network == model.Conv {
					n.ConvSettings.Blocks = defaultConv().Blocks
				}
				if stride == 2 { // in colour, whose channels stand side by side
					c.Likelihood, c.Binarise, c.Channels = model.DiscretizedLogisticName, data.None, 3
				}
				compareExported(t, newTestSetup(t, c))
			})
		}
	}
}

// operateOnMaps evaluates the operators of maps, [channels, rows, cols] each, as the standard has
// them.
func operateOnMaps(t *testing.T, op string, node fields, in []matrix) matrix {
	t.Helper()
	x := in[0]
	lists := map[string][]int{}
	for _, a := range node[5] {
		attribute := messageOf(t, a.bytes)
		for _, v := range attribute[8] {
			lists[attribute.texts(1)[0]] = append(lists[attribute.texts(1)[0]], int(v.number))
		}
	}
	out := matrix{rows: x.rows, cols: x.cols, v: x.v}
	switch op {
	case "Flatten":
	case "Reshape":
		for _, extent := range in[1].v[1:] {
			out.shape = append(out.shape, int(extent))
		}
		out.cols = 1
		for _, extent := range out.shape {
			out.cols *= extent
		}
		out.rows = len(x.v) / out.cols
		if len(out.shape) == 1 {
			out.shape = nil
		}
	case "Transpose":
		perm := lists["perm"]
		out.v = make([]float64, len(x.v))
		from, to := x.shape, []int{x.shape[perm[1]-1], x.shape[perm[2]-1], x.shape[perm[3]-1]}
		for r := range x.rows {
			var at [3]int
			for at[0] = range from[0] {
				for at[1] = range from[1] {
					for at[2] = range from[2] {
						y := [3]int{at[perm[1]-1], at[perm[2]-1], at[perm[3]-1]}
						out.v[r*x.cols+(y[0]*to[1]+y[1])*to[2]+y[2]] = x.v[r*x.cols+(at[0]*from[1]+at[1])*from[2]+at[2]]
					}
				}
			}
		}
		out.shape = to
	default:
		w, bias := in[1], in[2].v
		kernel, stride, pads := lists["kernel_shape"][0], lists["strides"][0], lists["pads"]
		rows, cols := x.shape[1], x.shape[2]
		size := func(n, begin, end int) int { return (n+begin+end-kernel)/stride + 1 }
		shape := []int{w.shape[0], size(rows, pads[0], pads[2]), size(cols, pads[1], pads[3])}
		if op == "ConvTranspose" {
			extra := lists["output_padding"]
			size := func(n, begin, end, extra int) int { return (n-1)*stride - begin - end + kernel + extra }
			shape = []int{w.shape[1], size(rows, pads[0], pads[2], extra[0]), size(cols, pads[1], pads[3], extra[1])}
		}
		out = matrix{rows: x.rows, cols: shape[0] * shape[1] * shape[2], shape: shape}
		out.v = make([]float64, out.rows*out.cols)
		for i := range out.v {
			out.v[i] = bias[i%out.cols/(shape[1]*shape[2])]
		}
		coarse := shape[1:]
		if op == "ConvTranspose" {
			coarse = x.shape[1:]
		}
		for r := range x.rows {
			for o := range w.shape[0] {
				for c := range w.shape[1] {
					for k := range kernel {
						for l := range kernel {
							weight := w.v[((o*w.shape[1]+c)*kernel+k)*kernel+l]
							for i := range coarse[0] {
								for j := range coarse[1] {
									fi, fj := i*stride-pads[0]+k, j*stride-pads[1]+l
									if op == "Conv" && fi >= 0 && fi < rows && fj >= 0 && fj < cols {
										out.v[r*out.cols+(o*shape[1]+i)*shape[2]+j] += weight * x.v[r*x.cols+(c*rows+fi)*cols+fj]
									}
									if op == "ConvTranspose" && fi >= 0 && fi < shape[1] && fj >= 0 && fj < shape[2] {
										out.v[r*out.cols+(c*shape[1]+fi)*shape[2]+fj] += weight * x.v[r*x.cols+(o*rows+i)*cols+j]
									}
								}
							}
						}
					}
				}
			}
		}
	}
	return out
}

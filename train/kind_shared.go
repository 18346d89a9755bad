package train

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
)

// NetworkSettings are what kinds with a decoder network have in common.
type NetworkSettings struct {
	Hidden       []int        // named from the encoder's side
	Latent       int          // of all stochastic layers together
	Stochastic   model.Layers // of a VAE with several
	Layers       model.NetworkName
	Activation   graph.Activation // of dense layers and convolutions
	ConvSettings                  // of conv and residual
	LR           float64
	InitFrom     string // run or checkpoint whose network's parameters are the first ones; "": drawn
}

// Network returns the network of c, the zero value where its kind has none.
func (c Config) Network() NetworkSettings {
	if n := c.network(); n != nil {
		return *n
	}
	return NetworkSettings{}
}

// network is that which the settings hold, nil for none.
func (c Config) network() *NetworkSettings {
	if s, ok := c.Settings.(interface{ network() *NetworkSettings }); ok {
		return s.network()
	}
	return nil
}

func (n *NetworkSettings) network() *NetworkSettings { return n }

func (n NetworkSettings) clone() NetworkSettings {
	n.Hidden, n.ConvSettings = slices.Clone(n.Hidden), n.ConvSettings.clone()
	n.Stochastic = model.Layers{Latent: slices.Clone(n.Stochastic.Latent), Hidden: slices.Clone(n.Stochastic.Hidden)}
	for i, hidden := range n.Stochastic.Hidden {
		n.Stochastic.Hidden[i] = slices.Clone(hidden)
	}
	return n
}

// setLayers changes the latent dimensions of a VAE: one number, or one for each layer.
func (n *NetworkSettings) setLayers(latent []int) {
	n.Latent, n.Stochastic.Latent = 0, nil
	for _, z := range latent {
		n.Latent += z
	}
	if len(latent) > 1 {
		n.Stochastic.Latent = latent
	}
}

// Each setting that kinds have in common is one flag, and has one description.

func (n *NetworkSettings) hidden() Option {
	return Option{Key: "hidden", Usage: "hidden layers of the encoder, or none; the decoder has them in reverse", Value: layers(&n.Hidden)}
}

func (n *NetworkSettings) latent() Option {
	return Option{Key: "latent", Usage: "latent dimensions", Value: integer(&n.Latent)}
}

// layeredHidden and layeredLatent are the same of a VAE, which may have several stochastic
// layers.
func (n *NetworkSettings) layeredHidden() Option {
	o := n.hidden()
	o.Value = hiddenGroups{n}
	o.Usage += "; with several stochastic layers a group for each, as in \"200,200;100,100\""
	return o
}

func (n *NetworkSettings) layeredLatent() Option {
	o := n.latent()
	o.Value = latentLayers{n}
	o.Usage += "; 100,50: two stochastic layers, that next to the image first"
	return o
}

// latentLayers are the dimensions of the stochastic layers as text.
type latentLayers struct{ n *NetworkSettings }

func (v latentLayers) Type() string { return "N" }

func (v latentLayers) String() string {
	if v.n.Stochastic.Several() {
		return v.n.Stochastic.String()
	}
	return strconv.Itoa(v.n.Latent)
}

func (v latentLayers) Set(text string) error {
	var sizes []int
	parsed := list(&sizes, "N,...").(setting[[]int])
	numbers, err := parsed.parse(strings.TrimSpace(text))
	if err == nil && len(numbers) == 0 {
		err = strconv.ErrSyntax
	}
	if err != nil {
		return wrong(err, text, "a whole number, or one for each stochastic layer with commas between, as in 100,50")
	}
	v.n.setLayers(numbers)
	return nil
}

// hiddenGroups are hidden layers as text: those to the lowest stochastic layer, then those
// from each to the next.
type hiddenGroups struct{ n *NetworkSettings }

func (v hiddenGroups) Type() string { return layers(&v.n.Hidden).Type() }

func (v hiddenGroups) String() string {
	parts := []string{layers(&v.n.Hidden).String()}
	for i := range v.n.Stochastic.Hidden {
		parts = append(parts, layers(&v.n.Stochastic.Hidden[i]).String())
	}
	if len(parts) == 1 {
		return parts[0]
	}
	for i, part := range parts {
		parts[i] = cmp.Or(part, "none")
	}
	return strings.Join(parts, ";")
}

func (v hiddenGroups) Set(text string) error {
	groups := [][]int{}
	for part := range strings.SplitSeq(text, ";") {
		var group []int
		if err := layers(&group).Set(part); err != nil {
			return err
		}
		groups = append(groups, group)
	}
	v.n.Hidden, v.n.Stochastic.Hidden = groups[0], nil
	if len(groups) > 1 {
		v.n.Stochastic.Hidden = groups[1:]
	}
	return nil
}

func (n *NetworkSettings) activation() Option {
	return Option{Key: "activation", Usage: "nonlinearity of hidden layers: relu, tanh, elu or softplus", Value: name(&n.Activation, "NAME")}
}

func (n *NetworkSettings) layers() Option {
	return Option{Key: "network", Usage: "layers of encoder and decoder: dense, f(W x + b) with the activation f; gated, (W x + b) σ(V x + c); conv, convolutions between the images and the hidden layers; or residual, the same with residual blocks", Value: name(&n.Layers, "NAME"), Unwritten: []string{string(model.Dense)}}
}

func (n *NetworkSettings) lr() Option {
	return Option{Key: "lr", After: "epochs", Usage: "learning rate of Adam", Value: number(&n.LR)}
}

func (n *NetworkSettings) initFrom() Option {
	return Option{Key: "init-from", After: "workers", Usage: "begin with the parameters of a run or a checkpoint: all whose names are known to this model", Value: name(&n.InitFrom, "RUN|CHECKPOINT")}
}

// maxLayers bounds the hidden layers of a network.
const maxLayers = 100

// maxStochastic bounds the stochastic layers of a VAE.
const maxStochastic = 10

// bound adds the faults of a network that no machine could hold, and returns it without
// the layers that are too many: what is wrong with all others need not be said.
func (n NetworkSettings) bound(f *faults) NetworkSettings {
	f.tooLarge("hidden", slices.Max(append(slices.Clone(n.Hidden), 0)))
	f.tooLarge("latent", n.Latent)
	n.ConvSettings.check(n.Layers, f)
	if layers := len(n.Hidden); layers > maxLayers {
		f.add(true, "hidden has %d layers, want at most %d", layers, maxLayers)
		n.Hidden = n.Hidden[:maxLayers]
	}
	f.add(len(n.Stochastic.Latent) > maxStochastic, "latent has %d layers, want at most %d", len(n.Stochastic.Latent), maxStochastic)
	f.add(len(n.Stochastic.Hidden) > maxStochastic-1, "hidden has %d groups, want at most %d", 1+len(n.Stochastic.Hidden), maxStochastic)
	n.Stochastic.Latent, n.Stochastic.Hidden = n.Stochastic.Latent[:min(len(n.Stochastic.Latent), maxStochastic)], n.Stochastic.Hidden[:min(len(n.Stochastic.Hidden), maxStochastic-1)]
	for _, hidden := range n.Stochastic.Hidden {
		f.tooLarge("hidden", slices.Max(append(slices.Clone(hidden), 0)))
		f.add(len(hidden) > maxLayers, "hidden has a group of %d layers, want at most %d", len(hidden), maxLayers)
	}
	return n
}

// nonlinearity names what stands between layers: the activation of dense ones, or gated.
func (n NetworkSettings) nonlinearity() string {
	if n.Layers == model.Gated {
		return string(n.Layers)
	}
	return string(n.Activation)
}

// encoderText names an encoder for images of d pixels: its sizes, of convolutions from the last
// feature map on, and what is between them.
func (n NetworkSettings) encoderText(d int) string {
	if n.Layers.Convolutional() {
		return fmt.Sprintf("%s, %s %s", n.ConvSettings.describe(n.Layers), joined(append(slices.Clone(n.Hidden), n.Latent), "-"), n.Activation)
	}
	return n.describe(d) + " " + n.nonlinearity()
}

// decoderText names a decoder in the same way.
func (n NetworkSettings) decoderText(d int) string {
	up := slices.Clone(n.Hidden)
	slices.Reverse(up)
	if n.Layers.Convolutional() {
		return fmt.Sprintf("%s %s, %s", joined(append([]int{n.Latent}, up...), "-"), n.Activation, n.ConvSettings.describe(n.Layers))
	}
	return layerSizes(n.Latent, up, d) + " " + n.nonlinearity()
}

// sizes are the units of all layers of an encoder for images of d pixels, and the weights
// between them. Hidden layers with gates count twice.
func (n NetworkSettings) sizes(d int) (units, weights float64) {
	add := func(in int, hidden []int, out int) {
		layers := slices.Concat([]int{in}, hidden, []int{2 * out})
		for i, width := range layers {
			products := float64(width)
			if n.Layers == model.Gated && i > 0 && i < len(layers)-1 {
				products *= 2
			}
			units += products
			if i > 0 {
				weights += float64(products * float64(layers[i-1]))
			}
		}
	}
	if !n.Stochastic.Several() {
		add(d, n.Hidden, n.Latent)
		return units, weights
	}
	add(d, n.Hidden, n.Stochastic.Latent[0])
	for i, hidden := range n.Stochastic.Hidden[:min(len(n.Stochastic.Hidden), len(n.Stochastic.Latent)-1)] {
		add(n.Stochastic.Latent[i], hidden, n.Stochastic.Latent[i+1])
	}
	return units, weights
}

// layerSizes names the sizes of a network's layers, of many hidden ones the first and
// the last.
func layerSizes(in int, hidden []int, out int) string {
	const named = 8
	n := len(hidden)
	if n <= named {
		return joined(slices.Concat([]int{in}, hidden, []int{out}), "-")
	}
	return fmt.Sprintf("%d-%s-…-%d-%d (%d hidden layers)", in, joined(hidden[:3], "-"), hidden[n-1], out, n)
}

// describe names the sizes of an encoder's layers, of several stochastic layers one chain
// after the other: "784-200-100 | 100-100-50".
func (n NetworkSettings) describe(pixels int) string {
	if !n.Stochastic.Several() {
		return layerSizes(pixels, n.Hidden, n.Latent)
	}
	text := layerSizes(pixels, n.Hidden, n.Stochastic.Latent[0])
	for i, hidden := range n.Stochastic.Hidden {
		text += " | " + layerSizes(n.Stochastic.Latent[i], hidden, n.Stochastic.Latent[i+1])
	}
	return text
}

func joined(numbers []int, separator string) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = fmt.Sprint(n)
	}
	return strings.Join(words, separator)
}

// TableSettings are what kinds that EM fits have in common.
type TableSettings struct {
	Prior     model.TablePrior
	Mixtures  int     // components of a value's mixture; 0: as the likelihood has it
	Tolerance float64 // least gain of an iteration, nats per image
}

// Table returns what is common to kinds that EM fits, the zero value for others.
func (c Config) Table() TableSettings {
	if s, ok := c.Settings.(interface{ table() *TableSettings }); ok {
		return *s.table()
	}
	return TableSettings{}
}

// HasTable reports whether EM fits the model: its passes over the data are iterations.
func (c Config) HasTable() bool {
	_, ok := c.Settings.(interface{ table() *TableSettings })
	return ok
}

// PassUnit is what a pass over the data is called: "iteration" of EM, else "epoch".
func (c Config) PassUnit() string {
	if c.HasTable() {
		return "iteration"
	}
	return "epoch"
}

func (t *TableSettings) table() *TableSettings { return t }

func (t *TableSettings) prior() Option {
	return Option{Key: "prior", Usage: "who chooses p(z): fixed, shared (the data) or per-image", Value: name(&t.Prior, "NAME")}
}

func (t *TableSettings) mixtures() Option { return mixtures(&t.Mixtures) }

// mixtures is the number of components of discretized-logistic-mixture.
func mixtures(field *int) Option {
	return Option{Key: "mixtures", Usage: "components for each pixel (discretized-logistic-mixture; 0: 5)", Value: integer(field), Unwritten: []string{"0"}}
}

func (t *TableSettings) tolerance() Option {
	return Option{Key: "tolerance", Usage: "stop when an iteration (with --accelerate two in a row) gains less than this, nats per image (0: never)", Value: number(&t.Tolerance)}
}

// check adds the faults of EM in general.
func (t TableSettings) check(c Config, f *faults) {
	f.add(c.Binarise == data.Dynamic, "binarise is dynamic, but a table holds the posteriors of one fixed data set: want static, threshold or none")
	f.add(!(t.Tolerance >= 0) || math.IsInf(t.Tolerance, 0), "tolerance is %g, want 0 or more nats per image", t.Tolerance)
}

// suits fails where images have what the states of a table cannot have.
func (t TableSettings) suits(c Config, image model.MapShape) error {
	return model.EMConfig{Pixels: image.Size(), Channels: image.Channels, States: 1, Likelihood: c.Likelihood, Mixtures: t.Mixtures, Prior: t.Prior}.Validate()
}

// levelBytes is the memory of the log-masses of states and of their statistics, which are of 256
// levels for each value: float32 for the masses and for those of a chunk, float64 for the sums.
func levelBytes(c Config, states float64, pixels int) float64 {
	if c.Likelihood.Pixels() != model.LevelPixels {
		return 0
	}
	return float64(graph.Levels*(4+4+8)) * states * float64(pixels)
}

// bytes is the memory of log p_n(z) and of log p(z|x_n) for every image.
func (t TableSettings) bytes(states float64, images int) float64 {
	if t.Prior == model.PerImage {
		return 2 * 4 * states * float64(images)
	}
	return 0
}

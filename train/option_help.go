package train

import (
	"slices"
	"strings"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
)

// OptionGroups are the groups of options, in the order in which help shows them.
func OptionGroups() []string { return []string{"Data", "Model", "Objective", "EM", "Run"} }

// groupOf is the group of an option. What is in no other is part of the model.
func groupOf(key string) string {
	switch key {
	case "data", "size", "channels", "background", "range", "limit", "quick", "split", "split-by", "split-seed", "binarise":
		return "Data"
	case "objective", "k", "gradient", "beta", "warmup", "batch", "lr", "lr-schedule", "lr-steps", "lr-factor", "lr-warmup", "adam-beta1", "adam-epsilon", "free-bits", "clip", "weight-decay":
		return "Objective"
	case "smoothing", "variance-floor", "init", "restarts", "restart", "accelerate", "incremental", "m-steps", "tolerance":
		return "EM"
	case "epochs", "patience", "ema", "output-bias", "seed", "workers", "init-from", "freeze", "checkpoint-every":
		return "Run"
	}
	return "Model"
}

// valuesOf are the words that an option takes, nil where it takes others.
func valuesOf(key string) []string {
	switch key {
	case "binarise":
		return words([]data.Binarisation{data.Threshold, data.Static, data.Dynamic, data.None})
	case "split-by":
		return []string{string(ByOrder), string(ByShuffle)}
	case "likelihood":
		return words(model.Likelihoods())
	case "activation":
		return words(graph.Activations)
	case "objective":
		return words(model.Objectives)
	case "gradient":
		return words(model.Gradients)
	case "freeze":
		return words([]model.Part{model.EncoderPart, model.DecoderPart})
	case "lr-schedule":
		return words(Schedules)
	case "output-bias":
		return words(OutputBiases)
	case "prior":
		return append(words(model.Priors), words(model.TablePriors)...)
	case "prior-update":
		return words(PriorUpdates)
	case "posterior":
		return words(model.Posteriors)
	case "flow":
		return words(model.Flows)
	case "network":
		return words(model.Networks)
	case "grid-rule":
		return words(model.GridRules)
	case "init":
		return words(Inits)
	}
	return nil
}

func words[S ~string](names []S) []string {
	var all []string
	for _, n := range names {
		all = append(all, string(n))
	}
	return all
}

// defaultOf says what an option is where it is not given, and of which kind where kinds
// differ: "10; mixture 200, grid 100". The first of the kinds that have it stands in front.
func defaultOf(key string, kinds []Kind) string {
	if key == "model" {
		return kinds[0].Name
	}
	var first string
	others := map[string][]string{} // by value
	var order []string
	for _, k := range kinds {
		c := k.Config()
		at := slices.IndexFunc(c.Options(), func(o Option) bool { return o.Key == key })
		if at < 0 {
			continue
		}
		value := c.Options()[at].Value.String()
		switch {
		case value == "":
			value = "none"
		case key == "grid":
			value = strings.ReplaceAll(value, ",", "x")
		}
		switch {
		case first == "":
			first = value
		case value == first:
		default:
			if others[value] == nil {
				order = append(order, value)
			}
			others[value] = append(others[value], k.Name)
		}
	}
	var rest []string
	for _, value := range order {
		rest = append(rest, strings.Join(others[value], " and ")+" "+value)
	}
	if len(rest) == 0 {
		return first
	}
	return first + "; " + strings.Join(rest, ", ")
}

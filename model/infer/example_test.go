package infer_test

import (
	"context"
	"fmt"

	"elbo/data"
	"elbo/graph"
	"elbo/graph/graphtest"
	"elbo/model"
	"elbo/model/infer"
)

// The ELBO of a VAE, with log p(x) and its error by quadrature.
func Example() {
	err := func() error {
		ds, err := data.New("synthetic", data.Synthetic(50, 5, 5, 1), data.Images{})
		if err != nil {
			return err
		}
		all, _, _, err := ds.Split(50, 0)
		if err != nil {
			return err
		}
		images := data.View{Subset: all, Mode: data.Static, Seed: 1}
		vae, err := model.NewVAE(model.VAEConfig{
			Pixels: 25, Hidden: []int{10}, Latent: 2, Activation: graph.Tanh,
			Likelihood: model.BernoulliName, Objective: model.ELBO, Draws: 1,
		}, graphtest.Engine(2), func(name string) graph.Uniform { return data.NewStream(1, name) })
		if err != nil {
			return err
		}

		ctx := context.Background()
		evaluator, err := infer.NewEvaluator(vae, 1000)
		if err != nil {
			return err
		}
		e, err := evaluator.Evaluate(ctx, images, 1)
		if err != nil {
			return err
		}
		exact, method, err := infer.Integrate(ctx, vae.Joint, images, nil, nil)
		if err != nil {
			return err
		}
		e.AddExact(exact, method)
		fmt.Printf("ELBO %.1f, L_%d %.1f, log p(x) %.1f\n", e.ELBO, e.Draws, e.IW.Bound, e.LogP.Value)
		fmt.Println(e.LogP.Method)
		return nil
	}()
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// ELBO -17.5, L_1000 -17.2, log p(x) -17.2
	// quadrature over 201 x 201 nodes, spacing halved where the posterior asks for it
}

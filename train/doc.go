// Package train fits models to data sets, and keeps what comes of it in run directories.
//
// A [Config] is what every run has to be told, and the [Settings] of its kind of model: a
// row of [Kinds]. [NewSetup] opens the data and makes the model; [Run] fits it, by the
// [Method] of its kind:
//
//	c := train.With(train.DefaultConfig(train.VAEModel), func(s *train.VAESettings) { s.Latent = 2 })
//	s, err := train.NewSetup(c, runtime.NumCPU(), func(workers int) *graph.Engine {
//		return graph.NewEngine(workers, lib) // lib := blas.BuiltIn()
//	})
//	dir, err := train.CreateRun("runs/first", s.Config)
//	result, err := train.Run(ctx, s, dir, nil, nil, time.Now)
//
// Afterwards the setup's [Model] scores images, in nats per image, with log p(x) where it can be
// known, and samples, encodes and reconstructs them; codes go to files and come back
// ([CodeFile], [Setup.ReadCodes]), and [Setup.Traverse] and [Setup.Impute] ask more of a model.
// Its networks go elsewhere as ONNX files ([Setup.EncoderONNX], [Setup.DecoderONNX]).
// [Summarise] says where a run stands. [OpenRun] and the
// newest state of the directory go on with a run, to the bits of one that was never
// interrupted.
//
// Where several processes fit one model, each takes its share of every batch, and a
// [Reducer] sums what they come to.
package train

// Package run keeps the files of a run directory: its configuration, a line of metrics for
// each pass, checkpoints, the best of them, and a lock for the one process that writes.
//
// It knows nothing of models. A [State] is parameters, the optimiser's moments and tables by
// name, and where the run stood; [Dir.Save] writes it with checksums, so that a file which was
// damaged or cut short is told from a good one, and no crash loses what was saved before:
//
//	dir, err := run.Create("runs/first", config, check)
//	err = dir.Save(&run.State{Step: 80, Epoch: 6, Params: tensors})
//	state, file, faults := dir.Latest() // the newest that is whole
package run

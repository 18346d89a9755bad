// Package data reads sets of images, grey or in colour, parts them into training, validation
// and test images, and shows them to a model, binarised or grey, in a way that
// depends on nothing but a seed.
//
// # From a source to pixels
//
//	d, err := data.Open("mnist")                          // or a folder, or a file
//	train, validation, test, err := d.Split(d.DefaultSplit())
//	view := data.View{Subset: train, Mode: data.Dynamic, Seed: 1}
//	order = data.Order(order, view.N(), 1, epoch)
//	for _, i := range order {
//	    view.Pixels(x, int(i), epoch)                     // x[:D], float32
//	}
//
// MNIST itself is in the program (package mnist). Other sources are folders of PNG and
// JPEG pictures, IDX files under MNIST's names, which Fashion-MNIST and KMNIST use too,
// NumPy's .npy and .npz, .csv tables, and the .amat texts of binarised MNIST; see Open,
// and Reading for what they leave open. Images are held as they are on disk, one byte a
// pixel where the source has bytes; those of large files are left there.
//
// # Grey levels and outcomes
//
// A Bernoulli likelihood is a likelihood of zeros and ones. Grey pixels are
// neither, and there are three ways to make outcomes of them: a threshold, one
// draw for each image, a fresh draw in each epoch. These are three different
// data sets, and bounds on one cannot be compared with bounds on another. A
// figure should therefore be printed with the binarisation, its seed, and
// Dataset.SHA256; View.Hash goes further and identifies the outcomes themselves.
// Evaluation always uses one fixed draw, that of epoch 0.
//
// # Randomness
//
// Every random number belongs to a key: a seed, a purpose, and counters such as
// epoch and image (Stream). So the pixels of image 17 in epoch 3 are the same
// whatever the batch size, the order of visits or the number of goroutines, and
// a run can be taken up at any step without any generator's state. Keys and
// draws are pinned by tests: they do not change from version to version, and
// WriteNPY exports the very pixels a run sees for use elsewhere.
//
// # Files are not trusted
//
// What a header promises is compared with the file's length, under gzip and in
// archives with the most that so many compressed bytes can hold, and with the
// available memory before anything is allocated for it. Pixels are then allocated
// once, so that memory holds them once; a copy, as of parts that are put in one
// piece, is counted as well. Checksums of gzip and zip are always read and compared.
// Faults are FormatErrors that name the file, what was found, what was wanted, and
// the next thing to try.
package data

// Package serve answers over HTTP: a page on which runs are watched while they train and
// their latent spaces are walked, and a small API that asks one model.
//
//	guard.go     who may ask: host, origin, token; what a browser may do with an answer
//	answer.go    how requests are read and answers written, within limits of size and time
//	gate.go      how many requests compute at a time, and how many may wait
//	server.go    a listener, and the end without a lost request
//	model.go     a trained model that is asked for codes, scores, images
//	api.go       POST /v1/encode, score, decode, sample, with JSON or .npy
//	measured.go  what Prometheus reads
//	page.go      the page's files, lists, charts and pictures of runs
//	events.go    what changed in a directory of runs, as server-sent events
//	explore.go   the latent space of a run
//
// Nothing is read but a directory of runs and the data that they were trained on, and nothing
// is written.
package serve

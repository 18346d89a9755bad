//go:build !race

package graph_test

// raceDetector: pools of buffers forget some on purpose, so that allocations do not count.
const raceDetector = false

//go:build !race

package model

// raceDetector: pools of buffers forget some on purpose, so that allocations do not count.
const raceDetector = false

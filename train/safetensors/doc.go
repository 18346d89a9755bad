// Package safetensors reads and writes float32 tensors in the format of that name: a header
// in JSON with the name, shape and place of each tensor, and strings beside them, and then
// the numbers, little-endian. Other programs read it too.
//
// Readers check every length before they allocate: a file from elsewhere, or a damaged one,
// comes to an error that says what is wrong and where.
package safetensors

package data_test

import (
	"fmt"

	"elbo/data"
)

// A round blob, thresholded and drawn.
func ExampleView() {
	d, err := data.New("blobs", data.Synthetic(4, 7, 14, 1), data.Images{})
	if err != nil {
		fmt.Println(err)
		return
	}
	images, _, _, err := d.Split(4, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	view := data.View{Subset: images, Mode: data.Threshold}
	x := make([]float32, view.D())
	view.Pixels(x, 3, 0)
	for r := range view.Rows() {
		for c := range view.Cols() {
			fmt.Print(string(".#"[int(x[r*view.Cols()+c])]))
		}
		fmt.Println()
	}
	label, _ := view.Label(3)
	fmt.Println("label", label)
	// Output:
	// ..............
	// ......###.....
	// .....####.....
	// ......###.....
	// .......#......
	// ..............
	// ..............
	// label 3
}

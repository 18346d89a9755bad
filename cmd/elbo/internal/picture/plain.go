package picture

import (
	"image"
	"image/draw"
)

// Plain is one image as it is, a pixel of the picture for each of its own.
func Plain(values []float32, rows, cols, channels int) image.Image {
	if n, err := count(values, rows, cols, channels); err != nil || n != 1 {
		return message("%d values for one image of %d×%d pixels", len(values), rows, cols)
	}
	flat := image.NewRGBA(image.Rect(0, 0, cols, rows))
	tile{rows: rows, cols: cols, channels: channels, scale: 1}.draw(flat, image.Point{}, values)
	if channels > 1 {
		return flat
	}
	grey := image.NewGray(flat.Rect)
	draw.Draw(grey, grey.Rect, flat, image.Point{}, draw.Src)
	return grey
}

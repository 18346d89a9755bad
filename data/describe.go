package data

import "os"

// FileInfo describes one file of a source, or one array of an .npz archive.
type FileInfo struct {
	Name       string    `json:"name"`
	Format     string    `json:"format"` // "idx", "npy", "npz member", "csv", "amat" or "pictures"
	Part       string    `json:"part"`   // that it belongs to: "train", "valid" or "test"
	Compressed bool      `json:"compressed"`
	Shape      []int     `json:"shape"`            // as stored
	Element    string    `json:"element"`          // "uint8", "bool", "float32", "float64", an integer type for labels, or "text"
	Images     int       `json:"images,omitempty"` // how many the shape is read as, of Rows times Cols pixels
	Rows       int       `json:"rows,omitempty"`
	Cols       int       `json:"cols,omitempty"`
	Channels   int       `json:"channels,omitempty"` // 3 in colour
	Grey       *GreyInfo `json:"grey,omitempty"`
	Labels     []int     `json:"labels,omitempty"`  // how many images have each label, from 0 to the largest one
	Classes    []string  `json:"classes,omitempty"` // the name of each label
	Notes      []string  `json:"notes,omitempty"`   // what was left open, and how it was read
	SHA256     string    `json:"sha256,omitempty"`  // of the file's bytes, in hex; for an array, of the archive's; none for pictures
}

// GreyInfo sums up the grey levels of a file, from 0 to 1, as Subset.Grey gives
// them.
type GreyInfo struct {
	Min  float64 `json:"min"`
	Max  float64 `json:"max"`
	Mean float64 `json:"mean"`
}

// Describe reads the files that Open would read, each by itself, and describes
// them. A single file may also be IDX labels. It returns what could be read
// together with the errors of what could not, so that a damaged folder can be
// described.
func Describe(path string) ([]FileInfo, error) {
	return Reading{}.Describe(path)
}

// Describe is the function Describe for files that are read as r says.
func (r Reading) Describe(path string) ([]FileInfo, error) {
	mem, err := r.memory()
	if err != nil {
		return nil, fault(path, "%v", err)
	}
	return describe(path, mem)
}

// describe is Describe with a given amount of memory.
func describe(path string, mem *memory) ([]FileInfo, error) {
	slots, err := locate(path)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); path != "mnist" && err == nil && !info.IsDir() {
		slots[0].want = anythingWanted
	}
	members, err := load(slots, mem, true)
	infos := make([]FileInfo, len(members))
	for i, m := range members {
		infos[i] = m.info(mem)
	}
	return infos, err
}

func (m member) info(mem *memory) FileInfo {
	info := FileInfo{Name: m.name, Format: m.format, Part: m.part, Compressed: m.compressed, Shape: m.shape, Element: m.element, Notes: m.notes, SHA256: m.sha256}
	if m.images != nil {
		if m.images.isBytes() && m.images.byteScale() == 1 && !mem.upTo255() {
			m.images.scale()
		}
		info.Images, info.Rows, info.Cols = m.images.N, m.images.Rows, m.images.Cols
		if m.images.channels() > 1 {
			info.Channels = m.images.Channels
		}
		info.Classes = m.images.Classes
		info.Grey = m.images.summary()
	}
	for _, label := range m.labels {
		for int(label) >= len(info.Labels) {
			info.Labels = append(info.Labels, 0)
		}
		info.Labels[label]++
	}
	return info
}

// summary returns least, largest and mean grey level.
func (im *Images) summary() *GreyInfo {
	g := &GreyInfo{Min: 1}
	var counts [256]int
	sum := 0.0
	im.blocks(func(bytes []uint8, floats []float32) bool {
		for _, b := range bytes {
			counts[b]++
		}
		for _, x := range floats {
			g.Min, g.Max = min(g.Min, float64(x)), max(g.Max, float64(x))
			sum += float64(x)
		}
		return true
	})
	levels := float64(im.N) * float64(im.D())
	if !im.isBytes() {
		g.Mean = sum / levels
		return g
	}
	for b, n := range counts {
		if n > 0 {
			g.Min, g.Max = min(g.Min, float64(b)/255), max(g.Max, float64(b)/255)
			sum += float64(float64(b) * float64(n))
		}
	}
	g.Mean = sum / 255 / levels
	return g
}

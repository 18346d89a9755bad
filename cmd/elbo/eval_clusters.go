package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"elbo/model/infer"
)

// What of a contingency table is printed; --json has all of it.
const (
	printedStates = 20
	printedLabels = 12
)

// writeClusters prints how far the states of a table are the labels of the images.
func writeClusters(w io.Writer, c *infer.Clusters) {
	fmt.Fprintf(w, "the most probable state beside the label: NMI %.3f, ARI %.3f, purity %.3f (%d states, %d labels)\n", c.NMI, c.ARI, c.Purity, len(c.States), len(c.Labels))
}

// writeContingency prints the images by state and label.
func writeContingency(w io.Writer, c *infer.Clusters) {
	if len(c.Labels) > printedLabels {
		fmt.Fprintf(w, "a table of %d labels is too wide to be printed: --json has it\n", len(c.Labels))
		return
	}
	t := newTable(w, tabwriter.AlignRight)
	fmt.Fprint(t, "state\timages")
	for _, label := range c.Labels {
		fmt.Fprintf(t, "\t%d", label)
	}
	fmt.Fprintln(t, "\t")
	for i, row := range c.Counts[:min(len(c.Counts), printedStates)] {
		images := 0
		for _, n := range row {
			images += n
		}
		fmt.Fprintf(t, "%d\t%d", c.States[i], images)
		for _, n := range row {
			if n == 0 {
				fmt.Fprint(t, "\t.")
			} else {
				fmt.Fprintf(t, "\t%d", n)
			}
		}
		fmt.Fprintln(t, "\t")
	}
	t.Flush()
	if more := len(c.States) - printedStates; more > 0 {
		fmt.Fprintf(w, "and %d more states, of fewer images: --json has them\n", more)
	}
}

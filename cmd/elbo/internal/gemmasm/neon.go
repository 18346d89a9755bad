package main

import (
	"fmt"
	"strings"
)

// neon writes for arm64: four lanes, 32 registers, and a pointer for each of eight rows of A.
// The accumulators of a tile are V0 to V23, B is in V24 to V26.
func neon() string {
	const lanes, heights = 4, 8
	var s strings.Builder
	p := func(format string, args ...any) {
		if strings.HasSuffix(format, ":") {
			fmt.Fprintf(&s, "\n"+format+"\n", args...)
		} else {
			fmt.Fprintf(&s, "\t"+format+"\n", args...)
		}
	}
	s.WriteString(header)
	s.WriteString("\n// func panelNEON(p *panel)\nTEXT ·panelNEON(SB), NOSPLIT|NOFRAME, $0-8\n")
	p("MOVD p+0(FP), R0")
	p("MOVD panel_rs(R0), R19")
	p("MOVD panel_cs(R0), R10")
	p("MOVD panel_bs(R0), R11")
	p("MOVD panel_c(R0), R13")
	p("MOVD panel_ldc(R0), R14")
	p("MOVD panel_tiles(R0), R16")
	p("MOVD panel_a(R0), R17") // where the present tile begins
	p("MOVD panel_height(R0), R21")
	p("MOVD panel_cols(R0), R23")
	p("AND  $%d, R23, R24", lanes-1) // columns of a last vector that is not whole
	p("CMP  $%d, R23", 2*lanes)
	p("BGT  w3")
	p("CMP  $%d, R23", lanes)
	p("BGT  w2")
	for width := 1; width <= 3; width++ {
		if width > 1 {
			p("w%d:", width)
		}
		for height := heights; height > 1; height-- {
			p("CMP  $%d, R21", height)
			p("BEQ  w%dh%d", width, height)
		}
		for height := 1; height <= heights; height++ {
			neonTile(p, width, height)
		}
	}
	s.WriteString("\n// func peakNEON(n int)\n// n times 12 fused multiply-adds of registers that wait for none but themselves.\n")
	s.WriteString("TEXT ·peakNEON(SB), NOSPLIT|NOFRAME, $0-8\n")
	p("MOVD n+0(FP), R0")
	for i := range 14 {
		p("VEOR V%d.B16, V%d.B16, V%d.B16", i, i, i)
	}
	p("loop:")
	for i := range 12 {
		p("VFMLA V12.S4, V13.S4, V%d.S4", i)
	}
	p("SUBS $1, R0, R0")
	p("BNE  loop")
	p("RET")
	return s.String()
}

func neonTile(p func(string, ...any), width, height int) {
	label := fmt.Sprintf("w%dh%d", width, height)
	acc := func(row, v int) int { return row*width + v }
	list := func(first, n int) string {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("V%d.S4", first+i))
		}
		return "[" + strings.Join(names, ", ") + "]"
	}
	// rows goes over the rows of C, R20 at the present one.
	rows := func(f func(row int)) {
		p("MOVD R13, R20")
		for row := range height {
			f(row)
			p("ADD  R14, R20")
		}
	}
	// part does something to each lane of the last vector that there is, R15 at its place.
	part := func(name string, row int, f func(lane int)) {
		p("ADD  $%d, R20, R15", 16*(width-1))
		for lane := range 3 {
			f(lane)
			if lane < 2 {
				p("CMP  $%d, R24", lane+1)
				p("BEQ  %s%srow%d", label, name, row)
			}
		}
		p("%s%srow%d:", label, name, row)
	}
	p("%s:", label)
	p("MOVD R17, R1")
	for row := 1; row < height; row++ {
		p("ADD  R19, R%d, R%d", row, row+1)
	}
	p("MOVD panel_b(R0), R9")
	p("MOVD panel_k(R0), R12")
	for i := range width * height {
		p("VEOR V%d.B16, V%d.B16, V%d.B16", i, i, i)
	}
	p("MOVD panel_load(R0), R15")
	p("CBZ  R15, %sk", label)
	p("CBNZ R24, %sloadpart", label)
	rows(func(row int) { p("VLD1 (R20), %s", list(acc(row, 0), width)) })
	p("B    %sk", label)
	p("%sloadpart:", label)
	rows(func(row int) {
		if width > 1 {
			p("VLD1 (R20), %s", list(acc(row, 0), width-1))
		}
		part("load", row, func(lane int) { p("VLD1.P 4(R15), V%d.S[%d]", acc(row, width-1), lane) })
	})
	p("%sk:", label)
	p("VLD1 (R9), %s", list(24, width))
	for row := range height {
		temp := 27 + row%5
		p("VLD1R (R%d), [V%d.S4]", row+1, temp)
		p("ADD  R10, R%d", row+1)
		for v := range width {
			p("VFMLA V%d.S4, V%d.S4, V%d.S4", 24+v, temp, acc(row, v))
		}
	}
	p("ADD  R11, R9")
	p("SUBS $1, R12, R12")
	p("BNE  %sk", label)

	// The bias is added in the end, once: 1 times it, fused.
	p("MOVD panel_bias(R0), R22")
	p("CBZ  R22, %sstore", label)
	p("FMOVS $1.0, F27")
	p("VDUP V27.S[0], V27.S4")
	p("CBNZ R24, %sbiaspart", label)
	p("VLD1 (R22), %s", list(24, width))
	p("B    %sbias", label)
	p("%sbiaspart:", label)
	if width > 1 {
		p("VLD1 (R22), %s", list(24, width-1))
	}
	p("MOVD R22, R20")
	part("bias", 0, func(lane int) { p("VLD1.P 4(R15), V%d.S[%d]", 24+width-1, lane) })
	p("%sbias:", label)
	for row := range height {
		for v := range width {
			p("VFMLA V%d.S4, V27.S4, V%d.S4", 24+v, acc(row, v))
		}
	}
	p("%sstore:", label)
	p("CBNZ R24, %sstorepart", label)
	rows(func(row int) { p("VST1 %s, (R20)", list(acc(row, 0), width)) })
	p("%snext:", label)
	p("MOVD R20, R13")
	p("MOVD $%d, R15", height)
	p("MUL  R19, R15, R15")
	p("ADD  R15, R17")
	p("SUBS $1, R16, R16")
	p("BNE  %s", label)
	p("RET")
	p("%sstorepart:", label)
	rows(func(row int) {
		if width > 1 {
			p("VST1 %s, (R20)", list(acc(row, 0), width-1))
		}
		part("store", row, func(lane int) { p("VST1.P V%d.S[%d], 4(R15)", acc(row, width-1), lane) })
	})
	p("B    %snext", label)
}

package main

import (
	"fmt"
	"strings"
)

// mostOnes is how many vectors of C stand in registers while rows of B are added to them.
const mostOnes = 8

// ones writes the product of a matrix of bits: for every row of it, the rows of B where it
// has a one are added up, in order. With weights, they are multiplied by a weight first.
func (g amd64) ones(s *strings.Builder, p func(string, ...any), weighted bool) {
	size := 4 * g.lanes
	name := map[bool]string{false: "ones", true: "weighted"}[weighted] + g.name
	fmt.Fprintf(s, "\n// func %s(p *ones)\n", name)
	fmt.Fprintf(s, "TEXT ·%s(SB), NOSPLIT, $0-8\n", name)
	p("MOVQ p+0(FP), DI")
	p("MOVQ ones_bits(DI), R8")
	p("MOVQ ones_bs(DI), R11")
	p("MOVQ R11, R10") // 64 rows of B
	p("SHLQ $6, R10")
	p("MOVQ ones_c(DI), R13")
	p("MOVQ ones_rows(DI), R15")
	if weighted {
		p("MOVQ ones_weights(DI), R14")
		p("MOVQ ones_ws(DI), CX")
	}
	p("MOVQ ones_vectors(DI), AX")
	for width := mostOnes; width > 1; width-- {
		p("CMPQ AX, $%d", width)
		p("JEQ w%d", width)
	}
	for width := 1; width <= mostOnes; width++ {
		acc := func(v int) string { return fmt.Sprintf("%s%d", g.reg, v) }
		all := func(format string) {
			for v := range width {
				p(format, v*size, acc(v))
			}
		}
		p("w%d:", width)
		p("MOVQ ones_b(DI), SI")
		p("MOVQ ones_words(DI), R12")
		p("MOVQ R8, R9")
		if weighted {
			p("MOVQ R14, BX")
		}
		p("CMPQ ones_load(DI), $0")
		p("JNE w%dload", width)
		for v := range width {
			p("VXORPS %s, %s, %s", acc(v), acc(v), acc(v))
		}
		p("w%dword:", width)
		p("MOVQ (R9), DX")
		p("TESTQ DX, DX")
		p("JZ w%dnext", width)
		p("w%dbit:", width)
		p("TZCNTQ DX, AX")
		if weighted {
			p("MOVQ CX, DI")
			p("IMULQ AX, DI")
			p("VBROADCASTSS (BX)(DI*1), %s%d", g.reg, mostOnes)
		}
		p("IMULQ R11, AX")
		p("BLSRQ DX, DX")
		for v := range width {
			if weighted {
				p("VFMADD231PS %d(SI)(AX*1), %s%d, %s", v*size, g.reg, mostOnes, acc(v))
			} else {
				p("VADDPS %d(SI)(AX*1), %s, %s", v*size, acc(v), acc(v))
			}
		}
		p("JNZ w%dbit", width) // as BLSR has left it: vectors change no flag
		p("w%dnext:", width)
		p("ADDQ $8, R9")
		p("ADDQ R10, SI")
		if weighted {
			p("MOVQ CX, DI") // 64 weights
			p("SHLQ $6, DI")
			p("ADDQ DI, BX")
		}
		p("DECQ R12")
		p("JNZ w%dword", width)
		if weighted {
			p("MOVQ p+0(FP), DI")
			p("ADDQ $4, R14")
		}
		p("MOVQ ones_bias(DI), SI")
		p("TESTQ SI, SI")
		p("JZ w%dstore", width)
		for v := range width {
			p("VADDPS %d(SI), %s, %s", v*size, acc(v), acc(v))
		}
		p("w%dstore:", width)
		for v := range width {
			p("VMOVUPS %s, %d(R13)", acc(v), v*size)
		}
		p("ADDQ ones_step(DI), R8")
		p("ADDQ ones_ldc(DI), R13")
		p("DECQ R15")
		p("JNZ w%d", width)
		p("VZEROUPPER")
		p("RET")
		p("w%dload:", width)
		all("VMOVUPS %d(R13), %s")
		p("JMP w%dword", width)
	}
}

// bits writes the search for what is not 0.
func (g amd64) bits(s *strings.Builder, p func(string, ...any)) {
	fmt.Fprintf(s, "\n// func bits%s(bits *uint64, x *float32, n int) (other int)\n", g.name)
	fmt.Fprintf(s, "// A bit for each of n numbers, a positive multiple of %d, 0 for a number that is 0.\n", g.lanes)
	fmt.Fprintf(s, "// It returns 0 if all others are 1.\n")
	fmt.Fprintf(s, "TEXT ·bits%s(SB), NOSPLIT, $0-32\n", g.name)
	p("MOVQ bits+0(FP), DI")
	p("MOVQ x+8(FP), SI")
	p("MOVQ n+16(FP), CX")
	p("SHRQ $3, CX")
	p("MOVL $0x3f800000, AX")
	p("VMOVD AX, X1")
	p("VBROADCASTSS X1, Y1")
	p("VXORPS Y0, Y0, Y0")
	p("VXORPS Y2, Y2, Y2")
	p("loop:")
	p("VMOVUPS (SI), Y3")
	p("VCMPPS $4, Y0, Y3, Y4") // not 0, or NaN
	p("VCMPPS $0, Y1, Y3, Y5") // 1
	p("VXORPS Y4, Y5, Y5")
	p("VORPS Y5, Y2, Y2")
	p("VMOVMSKPS Y4, AX")
	p("MOVB AX, (DI)")
	p("ADDQ $32, SI")
	p("INCQ DI")
	p("DECQ CX")
	p("JNZ loop")
	p("VMOVMSKPS Y2, AX")
	p("MOVQ AX, other+24(FP)")
	p("VZEROUPPER")
	p("RET")
}

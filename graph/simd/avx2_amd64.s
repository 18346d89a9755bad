#include "textflag.h"

// Constants are repeated over the eight lanes of a register, so that they can be
// operands in memory.

#define EIGHT(name, bits) \
	DATA name<>+0(SB)/4, bits \
	DATA name<>+4(SB)/4, bits \
	DATA name<>+8(SB)/4, bits \
	DATA name<>+12(SB)/4, bits \
	DATA name<>+16(SB)/4, bits \
	DATA name<>+20(SB)/4, bits \
	DATA name<>+24(SB)/4, bits \
	DATA name<>+28(SB)/4, bits \
	GLOBL name<>(SB), RODATA|NOPTR, $32

EIGHT(one, $0x3f800000)
EIGHT(two, $0x40000000)
EIGHT(magnitude, $0x7fffffff)
EIGHT(sign, $0x80000000)
EIGHT(least, $0xc2ae0000)  // -87
EIGHT(most, $0x42b00000)   // 88
EIGHT(infinity, $0x7f800000)
EIGHT(twenty, $0x41a00000) // 20
EIGHT(log2e, $0x3fb8aa3b)  // 1/ln 2
EIGHT(ln2hi, $0x3f318000)  // ln 2 in two parts; the first has 9 bits, so that its
EIGHT(ln2lo, $0xb95e8083)  // product with an integer exponent is exact
EIGHT(c0, $0x3efffffe)     // (exp r - 1 - r)/r² = c0 + c1 r + ... + c4 r⁴
EIGHT(c1, $0x3e2aaa48)
EIGHT(c2, $0x3d2aac7e)
EIGHT(c3, $0x3c091dcd)
EIGHT(c4, $0x3ab510ae)
EIGHT(a3, $0x3eaaaaab)    // log(1+u) = 2s (1 + s²/3 + ... + s¹²/13), s = u/(2+u)
EIGHT(a5, $0x3e4ccccd)
EIGHT(a7, $0x3e124925)
EIGHT(a9, $0x3de38e39)
EIGHT(a11, $0x3dba2e8c)
EIGHT(a13, $0x3d9d89d9)

// REDUCE writes t = n ln 2 + r with n an integer and |r| ≤ ln 2 / 2, then
// p = exp(r) - 1 and s = 2ⁿ. It leaves t as r, and n as an integer in s only.
//
//	in: t      out: p, s      scratch: q
#define REDUCE(t, p, s, q) \
	VMULPS       log2e<>(SB), t, q  \
	VCVTPS2DQ    q, s               \
	VCVTDQ2PS    s, q               \
	VFNMADD231PS ln2hi<>(SB), q, t  \
	VFNMADD231PS ln2lo<>(SB), q, t  \
	VMOVUPS      c4<>(SB), p        \
	VFMADD213PS  c3<>(SB), t, p     \
	VFMADD213PS  c2<>(SB), t, p     \
	VFMADD213PS  c1<>(SB), t, p     \
	VFMADD213PS  c0<>(SB), t, p     \
	VMULPS       t, t, q            \
	VFMADD213PS  t, q, p            \
	VPSLLD       $23, s, s          \
	VPADDD       one<>(SB), s, s

// func expAVX2(x *float32, n int)
// x = exp x, 0 below -87 and +∞ above 88. n is a multiple of 8.
TEXT ·expAVX2(SB), NOSPLIT, $0-16
	MOVQ    x+0(FP), SI
	MOVQ    n+8(FP), CX
	VMOVUPS least<>(SB), Y12
	VMOVUPS most<>(SB), Y13
	VMOVUPS infinity<>(SB), Y14
	SHRQ    $3, CX
	JZ      done

loop:
	VMOVUPS     (SI), Y5
	VCMPPS      $1, least<>(SB), Y5, Y6 // x < -87
	VMAXPS      Y5, Y12, Y0             // of two where one is NaN: the first operand
	VMINPS      Y0, Y13, Y0
	REDUCE(Y0, Y1, Y2, Y3)
	VFMADD213PS Y2, Y2, Y1              // s p + s
	VANDNPS     Y1, Y6, Y1
	VCMPPS      $1, Y5, Y13, Y6         // 88 < x
	VBLENDVPS   Y6, Y14, Y1, Y1
	VMOVUPS     Y1, (SI)
	ADDQ        $32, SI
	DECQ        CX
	JNZ         loop

done:
	VZEROUPPER
	RET

// func expm1AVX2(x *float32, n int)
// x = exp(x) - 1 = s p + (s - 1), +∞ above 88. n is a multiple of 8.
TEXT ·expm1AVX2(SB), NOSPLIT, $0-16
	MOVQ    x+0(FP), SI
	MOVQ    n+8(FP), CX
	VMOVUPS least<>(SB), Y12
	VMOVUPS most<>(SB), Y13
	VMOVUPS infinity<>(SB), Y14
	SHRQ    $3, CX
	JZ      done

loop:
	VMOVUPS     (SI), Y5
	VMAXPS      Y5, Y12, Y0
	VMINPS      Y0, Y13, Y0
	REDUCE(Y0, Y1, Y2, Y3)
	VSUBPS      one<>(SB), Y2, Y3
	VFMADD213PS Y3, Y2, Y1
	VCMPPS      $1, Y5, Y13, Y6
	VBLENDVPS   Y6, Y14, Y1, Y1
	VMOVUPS     Y1, (SI)
	ADDQ        $32, SI
	DECQ        CX
	JNZ         loop

done:
	VZEROUPPER
	RET

// func expSumAVX2(q, a *float32, top float32, n int) float64
// q = exp(a - top), and 0 below exp -87; returns Σ q, of sixteen lanes. n is a multiple of
// 16.
TEXT ·expSumAVX2(SB), NOSPLIT, $0-40
	MOVQ         q+0(FP), DI
	MOVQ         a+8(FP), SI
	VBROADCASTSS top+16(FP), Y8
	MOVQ         n+24(FP), CX
	SHRQ         $4, CX
	VXORPS       Y9, Y9, Y9    // lanes 0 to 3
	VXORPS       Y10, Y10, Y10 // 4 to 7
	VXORPS       Y14, Y14, Y14 // 8 to 11
	VXORPS       Y15, Y15, Y15 // 12 to 15
	VMOVUPS      least<>(SB), Y12
	VMOVUPS      most<>(SB), Y13
	JZ           done

loop:
	VMOVUPS      (SI), Y5
	VSUBPS       Y8, Y5, Y5
	VCMPPS       $1, least<>(SB), Y5, Y6
	VMAXPS       Y5, Y12, Y0
	VMINPS       Y0, Y13, Y0
	REDUCE(Y0, Y1, Y2, Y3)
	VFMADD213PS  Y2, Y2, Y1
	VANDNPS      Y1, Y6, Y1
	VMOVUPS      Y1, (DI)
	VCVTPS2PD    X1, Y4
	VADDPD       Y4, Y9, Y9
	VEXTRACTF128 $1, Y1, X1
	VCVTPS2PD    X1, Y4
	VADDPD       Y4, Y10, Y10
	VMOVUPS      32(SI), Y5
	VSUBPS       Y8, Y5, Y5
	VCMPPS       $1, least<>(SB), Y5, Y6
	VMAXPS       Y5, Y12, Y0
	VMINPS       Y0, Y13, Y0
	REDUCE(Y0, Y1, Y2, Y3)
	VFMADD213PS  Y2, Y2, Y1
	VANDNPS      Y1, Y6, Y1
	VMOVUPS      Y1, 32(DI)
	VCVTPS2PD    X1, Y4
	VADDPD       Y4, Y14, Y14
	VEXTRACTF128 $1, Y1, X1
	VCVTPS2PD    X1, Y4
	VADDPD       Y4, Y15, Y15
	ADDQ         $64, SI
	ADDQ         $64, DI
	DECQ         CX
	JNZ          loop

done:
	VADDPD       Y14, Y9, Y9
	VADDPD       Y15, Y10, Y10
	VADDPD       Y10, Y9, Y9
	VEXTRACTF128 $1, Y9, X10
	VADDPD       X10, X9, X9
	VHADDPD      X9, X9, X9
	VMOVSD       X9, ret+32(FP)
	VZEROUPPER
	RET

// func dotAVX2(x, y *float32, n int) float32
// Σ x y, of 32 lanes. n is a multiple of 32.
TEXT ·dotAVX2(SB), NOSPLIT, $0-28
	MOVQ   x+0(FP), SI
	MOVQ   y+8(FP), DI
	MOVQ   n+16(FP), CX
	SHRQ   $5, CX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	JZ     done

loop:
	VMOVUPS     (SI), Y4
	VMOVUPS     32(SI), Y5
	VMOVUPS     64(SI), Y6
	VMOVUPS     96(SI), Y7
	VFMADD231PS (DI), Y4, Y0
	VFMADD231PS 32(DI), Y5, Y1
	VFMADD231PS 64(DI), Y6, Y2
	VFMADD231PS 96(DI), Y7, Y3
	ADDQ        $128, SI
	ADDQ        $128, DI
	DECQ        CX
	JNZ         loop

done:
	VADDPS       Y2, Y0, Y0
	VADDPS       Y3, Y1, Y1
	VADDPS       Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPS       X1, X0, X0
	VMOVHLPS     X0, X0, X1
	VADDPS       X1, X0, X0
	VMOVSHDUP    X0, X1
	VADDSS       X1, X0, X0
	VMOVSS       X0, ret+24(FP)
	VZEROUPPER
	RET

// func tanhAVX2(x *float32, n int)
// x = tanh x. n is a multiple of 8.
//
// With u = exp(2|x|) - 1 = s p + (s - 1), tanh|x| = u/(u + 2): near 0, s is 1 and u
// is p, which has all its digits.
TEXT ·tanhAVX2(SB), NOSPLIT, $0-16
	MOVQ    x+0(FP), SI
	MOVQ    n+8(FP), CX
	VMOVUPS twenty<>(SB), Y6
	SHRQ    $3, CX
	JZ      done

loop:
	VMOVUPS     (SI), Y5
	VANDPS      magnitude<>(SB), Y5, Y0
	VADDPS      Y0, Y0, Y0
	VMINPS      Y0, Y6, Y0
	REDUCE(Y0, Y1, Y2, Y3)
	VSUBPS      one<>(SB), Y2, Y3
	VFMADD213PS Y3, Y2, Y1              // u = s p + (s - 1)
	VADDPS      two<>(SB), Y1, Y3
	VDIVPS      Y3, Y1, Y1
	VANDPS      sign<>(SB), Y5, Y5
	VORPS       Y5, Y1, Y1
	VMOVUPS     Y1, (SI)
	ADDQ        $32, SI
	DECQ        CX
	JNZ         loop

done:
	VZEROUPPER
	RET

// func bernoulliAVX2(residual, x, l *float32, n int) (sum, product float64)
// For n pixels, a multiple of 16 and at most 512, with e = exp(-|l|):
//
//	residual = x - σ(l),  sum = Σ x l - max(l, 0),  product = Π (1 + e)
//
// in sixteen lanes. Where residual is nil it is not computed.
TEXT ·bernoulliAVX2(SB), NOSPLIT, $0-48
	MOVQ    residual+0(FP), DI
	MOVQ    x+8(FP), DX
	MOVQ    l+16(FP), SI
	MOVQ    n+24(FP), CX
	SHRQ    $4, CX
	VXORPS  Y8, Y8, Y8        // Σ x l, lanes 0 to 7
	VXORPS  Y14, Y14, Y14     // and 8 to 15
	VXORPS  Y9, Y9, Y9        // Σ max(l, 0)
	VXORPS  Y15, Y15, Y15
	VMOVUPS one<>(SB), Y10    // Π (1 + e)
	VMOVUPS one<>(SB), Y7
	VMOVUPS one<>(SB), Y11
	VXORPS  Y12, Y12, Y12
	VMOVUPS least<>(SB), Y13
	JZ      done
	TESTQ   DI, DI
	JZ      value

loop:
	VMOVUPS     (SI), Y5
	VMOVUPS     (DX), Y6
	VFMADD231PS Y5, Y6, Y8
	VMAXPS      Y12, Y5, Y4
	VADDPS      Y4, Y9, Y9
	VORPS       sign<>(SB), Y5, Y0
	VMAXPS      Y0, Y13, Y0
	REDUCE(Y0, Y1, Y2, Y3)
	VFMADD213PS Y2, Y2, Y1          // e
	VADDPS      Y11, Y1, Y3         // 1 + e
	VMULPS      Y3, Y10, Y10
	VBLENDVPS   Y5, Y1, Y11, Y4     // the numerator of σ(l): e where l < 0, else 1
	VDIVPS      Y3, Y4, Y4
	VSUBPS      Y4, Y6, Y4
	VMOVUPS     Y4, (DI)
	VMOVUPS     32(SI), Y5
	VMOVUPS     32(DX), Y6
	VFMADD231PS Y5, Y6, Y14
	VMAXPS      Y12, Y5, Y4
	VADDPS      Y4, Y15, Y15
	VORPS       sign<>(SB), Y5, Y0
	VMAXPS      Y0, Y13, Y0
	REDUCE(Y0, Y1, Y2, Y3)
	VFMADD213PS Y2, Y2, Y1          // e
	VADDPS      Y11, Y1, Y3         // 1 + e
	VMULPS      Y3, Y7, Y7
	VBLENDVPS   Y5, Y1, Y11, Y4     // the numerator of σ(l): e where l < 0, else 1
	VDIVPS      Y3, Y4, Y4
	VSUBPS      Y4, Y6, Y4
	VMOVUPS     Y4, 32(DI)
	ADDQ        $64, SI
	ADDQ        $64, DX
	ADDQ        $64, DI
	DECQ        CX
	JNZ         loop
	JMP         done

value:
	VMOVUPS     (SI), Y5
	VFMADD231PS (DX), Y5, Y8
	VMAXPS      Y12, Y5, Y4
	VADDPS      Y4, Y9, Y9
	VORPS       sign<>(SB), Y5, Y0
	VMAXPS      Y0, Y13, Y0
	REDUCE(Y0, Y1, Y2, Y3)
	VFMADD213PS Y2, Y2, Y1
	VADDPS      Y11, Y1, Y3
	VMULPS      Y3, Y10, Y10
	VMOVUPS     32(SI), Y5
	VFMADD231PS 32(DX), Y5, Y14
	VMAXPS      Y12, Y5, Y4
	VADDPS      Y4, Y15, Y15
	VORPS       sign<>(SB), Y5, Y0
	VMAXPS      Y0, Y13, Y0
	REDUCE(Y0, Y1, Y2, Y3)
	VFMADD213PS Y2, Y2, Y1
	VADDPS      Y11, Y1, Y3
	VMULPS      Y3, Y7, Y7
	ADDQ        $64, SI
	ADDQ        $64, DX
	DECQ        CX
	JNZ         value

done:
	// The sixteen lanes in float64: a product of 32 terms of a lane is at most 2³².
	VSUBPS       Y9, Y8, Y8
	VSUBPS       Y15, Y14, Y14
	VCVTPS2PD    X8, Y0
	VCVTPS2PD    X14, Y2
	VADDPD       Y2, Y0, Y0
	VEXTRACTF128 $1, Y8, X8
	VEXTRACTF128 $1, Y14, X14
	VCVTPS2PD    X8, Y1
	VCVTPS2PD    X14, Y2
	VADDPD       Y2, Y1, Y1
	VADDPD       Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPD       X1, X0, X0
	VHADDPD      X0, X0, X0
	VMOVSD       X0, sum+32(FP)
	VCVTPS2PD    X10, Y0
	VCVTPS2PD    X7, Y2
	VMULPD       Y2, Y0, Y0
	VEXTRACTF128 $1, Y10, X10
	VEXTRACTF128 $1, Y7, X7
	VCVTPS2PD    X10, Y1
	VCVTPS2PD    X7, Y2
	VMULPD       Y2, Y1, Y1
	VMULPD       Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VMULPD       X1, X0, X0
	VPERMILPD    $1, X0, X1
	VMULSD       X1, X0, X0
	VMOVSD       X0, product+40(FP)
	VZEROUPPER
	RET

// func reluAVX2(x *float32, n int)
// x = max(x, 0). n is a multiple of 8.
TEXT ·reluAVX2(SB), NOSPLIT, $0-16
	MOVQ   x+0(FP), SI
	MOVQ   n+8(FP), CX
	VXORPS Y1, Y1, Y1
	SHRQ   $3, CX
	JZ     done

loop:
	VMOVUPS (SI), Y0
	VMAXPS  Y0, Y1, Y0 // of two zeros or where one is NaN: the first operand, x
	VADDPS  Y1, Y0, Y0 // -0 becomes 0
	VMOVUPS Y0, (SI)
	ADDQ    $32, SI
	DECQ    CX
	JNZ     loop

done:
	VZEROUPPER
	RET

// func eluAVX2(x *float32, n int)
// x = max(x, 0) + exp(min(x, 0)) - 1. n is a multiple of 8.
TEXT ·eluAVX2(SB), NOSPLIT, $0-16
	MOVQ    x+0(FP), SI
	MOVQ    n+8(FP), CX
	VMOVUPS least<>(SB), Y12
	VXORPS  Y13, Y13, Y13
	SHRQ    $3, CX
	JZ      done

loop:
	VMOVUPS     (SI), Y5
	VMINPS      Y5, Y13, Y0
	VMAXPS      Y0, Y12, Y0
	VMAXPS      Y5, Y13, Y5
	REDUCE(Y0, Y1, Y2, Y3)
	VSUBPS      one<>(SB), Y2, Y3
	VFMADD213PS Y3, Y2, Y1
	VADDPS      Y5, Y1, Y1
	VMOVUPS     Y1, (SI)
	ADDQ        $32, SI
	DECQ        CX
	JNZ         loop

done:
	VZEROUPPER
	RET

// func softplusAVX2(x *float32, n int)
// x = max(x, 0) + log(1 + exp(-|x|)). n is a multiple of 8.
TEXT ·softplusAVX2(SB), NOSPLIT, $0-16
	MOVQ    x+0(FP), SI
	MOVQ    n+8(FP), CX
	VMOVUPS least<>(SB), Y12
	VXORPS  Y13, Y13, Y13
	SHRQ    $3, CX
	JZ      done

loop:
	VMOVUPS     (SI), Y5
	VORPS       sign<>(SB), Y5, Y0
	VMAXPS      Y0, Y12, Y0
	VMAXPS      Y5, Y13, Y5
	REDUCE(Y0, Y1, Y2, Y3)
	VFMADD213PS Y2, Y2, Y1        // u
	VADDPS      two<>(SB), Y1, Y2
	VDIVPS      Y2, Y1, Y1        // s
	VMULPS      Y1, Y1, Y2
	VMOVUPS     a13<>(SB), Y3
	VFMADD213PS a11<>(SB), Y2, Y3
	VFMADD213PS a9<>(SB), Y2, Y3
	VFMADD213PS a7<>(SB), Y2, Y3
	VFMADD213PS a5<>(SB), Y2, Y3
	VFMADD213PS a3<>(SB), Y2, Y3
	VFMADD213PS one<>(SB), Y2, Y3
	VADDPS      Y1, Y1, Y1
	VFMADD213PS Y5, Y1, Y3
	VMOVUPS     Y3, (SI)
	ADDQ        $32, SI
	DECQ        CX
	JNZ         loop

done:
	VZEROUPPER
	RET

// func reluChainAVX2(da, y, dy *float32, n int)
// da = dy where y > 0, else 0. n is a multiple of 8.
TEXT ·reluChainAVX2(SB), NOSPLIT, $0-32
	MOVQ   da+0(FP), DI
	MOVQ   y+8(FP), SI
	MOVQ   dy+16(FP), DX
	MOVQ   n+24(FP), CX
	VXORPS Y1, Y1, Y1
	SHRQ   $3, CX
	JZ     done

loop:
	VMOVUPS (SI), Y0
	VCMPPS  $1, Y0, Y1, Y0 // 0 < y
	VANDPS  (DX), Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $32, SI
	ADDQ    $32, DX
	ADDQ    $32, DI
	DECQ    CX
	JNZ     loop

done:
	VZEROUPPER
	RET

// func tanhChainAVX2(da, y, dy *float32, n int)
// da = dy (1 - y²). n is a multiple of 8.
TEXT ·tanhChainAVX2(SB), NOSPLIT, $0-32
	MOVQ    da+0(FP), DI
	MOVQ    y+8(FP), SI
	MOVQ    dy+16(FP), DX
	MOVQ    n+24(FP), CX
	SHRQ    $3, CX
	JZ      done

loop:
	VMOVUPS      (SI), Y0
	VMOVUPS      one<>(SB), Y1
	VFNMADD231PS Y0, Y0, Y1
	VMULPS       (DX), Y1, Y1
	VMOVUPS      Y1, (DI)
	ADDQ         $32, SI
	ADDQ         $32, DX
	ADDQ         $32, DI
	DECQ         CX
	JNZ          loop

done:
	VZEROUPPER
	RET

// func adamAVX2(theta, grad, m, v *float32, n int, d1, d2, rate, epsilon float32)
// See Adam. n is a multiple of 8. No operation is fused, so that the bits are those of
// the loop in Go.
TEXT ·adamAVX2(SB), NOSPLIT, $0-56
	MOVQ         theta+0(FP), DI
	MOVQ         grad+8(FP), SI
	MOVQ         m+16(FP), R8
	MOVQ         v+24(FP), R9
	MOVQ         n+32(FP), CX
	VBROADCASTSS d1+40(FP), Y12
	VBROADCASTSS d2+44(FP), Y13
	VBROADCASTSS rate+48(FP), Y14
	VBROADCASTSS epsilon+52(FP), Y15
	SHRQ         $3, CX
	JZ           done

loop:
	VMOVUPS (SI), Y0        // g
	VMOVUPS (R8), Y1        // m
	VMOVUPS (R9), Y2        // v
	VSUBPS  Y1, Y0, Y3
	VMULPS  Y3, Y12, Y3
	VADDPS  Y3, Y1, Y1      // m + d1 (g - m)
	VMULPS  Y0, Y0, Y0
	VSUBPS  Y2, Y0, Y0
	VMULPS  Y0, Y13, Y0
	VADDPS  Y0, Y2, Y2      // v + d2 (g² - v)
	VMOVUPS Y1, (R8)
	VMOVUPS Y2, (R9)
	VSQRTPS Y2, Y2
	VADDPS  Y15, Y2, Y2
	VMULPS  Y1, Y14, Y1
	VDIVPS  Y2, Y1, Y1
	VMOVUPS (DI), Y0
	VSUBPS  Y1, Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $32, SI
	ADDQ    $32, R8
	ADDQ    $32, R9
	ADDQ    $32, DI
	DECQ    CX
	JNZ     loop

done:
	VZEROUPPER
	RET

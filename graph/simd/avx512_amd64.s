#include "textflag.h"

// The loops that cost the most, sixteen numbers at a time. They compute what their
// twins for AVX2 compute, in the same order.

DATA log2e<>+0(SB)/4, $0x3fb8aa3b
GLOBL log2e<>(SB), RODATA|NOPTR, $4
DATA ln2hi<>+0(SB)/4, $0x3f318000
GLOBL ln2hi<>(SB), RODATA|NOPTR, $4
DATA ln2lo<>+0(SB)/4, $0xb95e8083
GLOBL ln2lo<>(SB), RODATA|NOPTR, $4
DATA c0<>+0(SB)/4, $0x3efffffe
GLOBL c0<>(SB), RODATA|NOPTR, $4
DATA c1<>+0(SB)/4, $0x3e2aaa48
GLOBL c1<>(SB), RODATA|NOPTR, $4
DATA c2<>+0(SB)/4, $0x3d2aac7e
GLOBL c2<>(SB), RODATA|NOPTR, $4
DATA c3<>+0(SB)/4, $0x3c091dcd
GLOBL c3<>(SB), RODATA|NOPTR, $4
DATA c4<>+0(SB)/4, $0x3ab510ae
GLOBL c4<>(SB), RODATA|NOPTR, $4
DATA one<>+0(SB)/4, $0x3f800000
GLOBL one<>(SB), RODATA|NOPTR, $4
DATA two<>+0(SB)/4, $0x40000000
GLOBL two<>(SB), RODATA|NOPTR, $4
DATA magnitude<>+0(SB)/4, $0x7fffffff
GLOBL magnitude<>(SB), RODATA|NOPTR, $4
DATA sign<>+0(SB)/4, $0x80000000
GLOBL sign<>(SB), RODATA|NOPTR, $4
DATA least<>+0(SB)/4, $0xc2ae0000
GLOBL least<>(SB), RODATA|NOPTR, $4
DATA most<>+0(SB)/4, $0x42b00000
GLOBL most<>(SB), RODATA|NOPTR, $4
DATA twenty<>+0(SB)/4, $0x41a00000
GLOBL twenty<>(SB), RODATA|NOPTR, $4

// Z20 holds 1 in every lane.
//
// REDUCE is that of avx2_amd64.s.
#define REDUCE(t, p, s, q) \
	VMULPS.BCST       log2e<>(SB), t, q  \
	VCVTPS2DQ         q, s               \
	VCVTDQ2PS         s, q               \
	VFNMADD231PS.BCST ln2hi<>(SB), q, t  \
	VFNMADD231PS.BCST ln2lo<>(SB), q, t  \
	VBROADCASTSS      c4<>(SB), p        \
	VFMADD213PS.BCST  c3<>(SB), t, p     \
	VFMADD213PS.BCST  c2<>(SB), t, p     \
	VFMADD213PS.BCST  c1<>(SB), t, p     \
	VFMADD213PS.BCST  c0<>(SB), t, p     \
	VMULPS            t, t, q            \
	VFMADD213PS       t, q, p            \
	VPSLLD            $23, s, s          \
	VPADDD            Z20, s, s

// func tanhAVX512(x *float32, n int)
// n is a multiple of 16.
TEXT ·tanhAVX512(SB), NOSPLIT, $0-16
	MOVQ         x+0(FP), SI
	MOVQ         n+8(FP), CX
	VBROADCASTSS one<>(SB), Z20
	VBROADCASTSS two<>(SB), Z21
	VBROADCASTSS twenty<>(SB), Z22
	VPBROADCASTD magnitude<>(SB), Z23
	VPBROADCASTD sign<>(SB), Z24
	SHRQ         $4, CX
	JZ           done

loop:
	VMOVUPS     (SI), Z5
	VPANDD      Z23, Z5, Z0
	VADDPS      Z0, Z0, Z0
	VMINPS      Z0, Z22, Z0
	REDUCE(Z0, Z1, Z2, Z3)
	VSUBPS      Z20, Z2, Z3
	VFMADD213PS Z3, Z2, Z1
	VADDPS      Z21, Z1, Z3
	VDIVPS      Z3, Z1, Z1
	VPANDD      Z24, Z5, Z5
	VPORD       Z5, Z1, Z1
	VMOVUPS     Z1, (SI)
	ADDQ        $64, SI
	DECQ        CX
	JNZ         loop

done:
	VZEROUPPER
	RET

// func expSumAVX512(q, a *float32, top float32, n int) float64
// n is a multiple of 16.
TEXT ·expSumAVX512(SB), NOSPLIT, $0-40
	MOVQ         q+0(FP), DI
	MOVQ         a+8(FP), SI
	VBROADCASTSS top+16(FP), Z8
	MOVQ         n+24(FP), CX
	VBROADCASTSS one<>(SB), Z20
	VBROADCASTSS least<>(SB), Z12
	VBROADCASTSS most<>(SB), Z13
	VPXORD       Z9, Z9, Z9
	VPXORD       Z10, Z10, Z10
	SHRQ         $4, CX
	JZ           done

loop:
	VMOVUPS       (SI), Z5
	VSUBPS        Z8, Z5, Z5
	VCMPPS        $5, Z12, Z5, K1    // not below -87, or NaN
	VMAXPS        Z5, Z12, Z0
	VMINPS        Z0, Z13, Z0
	REDUCE(Z0, Z1, Z2, Z3)
	VFMADD213PS   Z2, Z2, Z1
	VMOVAPS.Z     Z1, K1, Z1
	VMOVUPS       Z1, (DI)
	VCVTPS2PD     Y1, Z4
	VADDPD        Z4, Z9, Z9
	VEXTRACTF64X4 $1, Z1, Y1
	VCVTPS2PD     Y1, Z4
	VADDPD        Z4, Z10, Z10
	ADDQ          $64, SI
	ADDQ          $64, DI
	DECQ          CX
	JNZ           loop

done:
	VADDPD        Z10, Z9, Z9
	VEXTRACTF64X4 $1, Z9, Y10
	VADDPD        Y10, Y9, Y9
	VEXTRACTF128  $1, Y9, X10
	VADDPD        X10, X9, X9
	VHADDPD       X9, X9, X9
	VMOVSD        X9, ret+32(FP)
	VZEROUPPER
	RET

// func dotAVX512(x, y *float32, n int) float32
// n is a multiple of 32.
TEXT ·dotAVX512(SB), NOSPLIT, $0-28
	MOVQ   x+0(FP), SI
	MOVQ   y+8(FP), DI
	MOVQ   n+16(FP), CX
	SHRQ   $5, CX
	VPXORD Z0, Z0, Z0
	VPXORD Z1, Z1, Z1
	JZ     done

loop:
	VMOVUPS     (SI), Z4
	VMOVUPS     64(SI), Z5
	VFMADD231PS (DI), Z4, Z0
	VFMADD231PS 64(DI), Z5, Z1
	ADDQ        $128, SI
	ADDQ        $128, DI
	DECQ        CX
	JNZ         loop

done:
	VADDPS        Z1, Z0, Z0
	VEXTRACTF64X4 $1, Z0, Y1
	VADDPS        Y1, Y0, Y0
	VEXTRACTF128  $1, Y0, X1
	VADDPS        X1, X0, X0
	VMOVHLPS      X0, X0, X1
	VADDPS        X1, X0, X0
	VMOVSHDUP     X0, X1
	VADDSS        X1, X0, X0
	VMOVSS        X0, ret+24(FP)
	VZEROUPPER
	RET

// func bernoulliAVX512(residual, x, l *float32, n int) (sum, product float64)
// n is a multiple of 16, and at most 512. Where residual is nil it is not computed.
TEXT ·bernoulliAVX512(SB), NOSPLIT, $0-48
	MOVQ         residual+0(FP), DI
	MOVQ         x+8(FP), DX
	MOVQ         l+16(FP), SI
	MOVQ         n+24(FP), CX
	VBROADCASTSS one<>(SB), Z20
	VBROADCASTSS least<>(SB), Z21
	VPBROADCASTD sign<>(SB), Z24
	VPXORD       Z8, Z8, Z8
	VPXORD       Z9, Z9, Z9
	VMOVAPS      Z20, Z10
	VPXORD       Z12, Z12, Z12
	SHRQ         $4, CX
	JZ           done
	TESTQ        DI, DI
	JZ           value

loop:
	VMOVUPS     (SI), Z5
	VMOVUPS     (DX), Z6
	VFMADD231PS Z5, Z6, Z8
	VMAXPS      Z12, Z5, Z4
	VADDPS      Z4, Z9, Z9
	VPORD       Z24, Z5, Z0
	VMAXPS      Z0, Z21, Z0
	REDUCE(Z0, Z1, Z2, Z3)
	VFMADD213PS Z2, Z2, Z1
	VADDPS      Z20, Z1, Z3
	VMULPS      Z3, Z10, Z10
	VPMOVD2M    Z5, K1              // l < 0
	VBLENDMPS   Z1, Z20, K1, Z4
	VDIVPS      Z3, Z4, Z4
	VSUBPS      Z4, Z6, Z4
	VMOVUPS     Z4, (DI)
	ADDQ        $64, SI
	ADDQ        $64, DX
	ADDQ        $64, DI
	DECQ        CX
	JNZ         loop
	JMP         done

value:
	VMOVUPS     (SI), Z5
	VFMADD231PS (DX), Z5, Z8
	VMAXPS      Z12, Z5, Z4
	VADDPS      Z4, Z9, Z9
	VPORD       Z24, Z5, Z0
	VMAXPS      Z0, Z21, Z0
	REDUCE(Z0, Z1, Z2, Z3)
	VFMADD213PS Z2, Z2, Z1
	VADDPS      Z20, Z1, Z3
	VMULPS      Z3, Z10, Z10
	ADDQ        $64, SI
	ADDQ        $64, DX
	DECQ        CX
	JNZ         value

done:
	VSUBPS        Z9, Z8, Z8
	VCVTPS2PD     Y8, Z0
	VEXTRACTF64X4 $1, Z8, Y8
	VCVTPS2PD     Y8, Z1
	VADDPD        Z1, Z0, Z0
	VEXTRACTF64X4 $1, Z0, Y1
	VADDPD        Y1, Y0, Y0
	VEXTRACTF128  $1, Y0, X1
	VADDPD        X1, X0, X0
	VHADDPD       X0, X0, X0
	VMOVSD        X0, sum+32(FP)
	VCVTPS2PD     Y10, Z0
	VEXTRACTF64X4 $1, Z10, Y10
	VCVTPS2PD     Y10, Z1
	VMULPD        Z1, Z0, Z0
	VEXTRACTF64X4 $1, Z0, Y1
	VMULPD        Y1, Y0, Y0
	VEXTRACTF128  $1, Y0, X1
	VMULPD        X1, X0, X0
	VPERMILPD     $1, X0, X1
	VMULSD        X1, X0, X0
	VMOVSD        X0, product+40(FP)
	VZEROUPPER
	RET

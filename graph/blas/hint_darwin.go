package blas

const installHint = "install OpenBLAS (brew install openblas) or name a library in ELBO_BLAS"

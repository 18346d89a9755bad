package blas

const installHint = "install OpenBLAS (Debian, Ubuntu: apt-get install libopenblas0-pthread; Fedora: dnf install openblas) or name a library in ELBO_BLAS"

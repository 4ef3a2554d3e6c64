"""The kernels: readable source, compiled when first needed. One file for each kind, which registers those in it."""

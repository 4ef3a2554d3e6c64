"""What kernels are written with: instructions beyond Python's, as functions that emit LLVM code."""

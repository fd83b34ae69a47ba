"""Hand-made features φ(x): polynomials, Fourier, RBF, tile coding; and their names on the command line.

Imports `rlnut.truth` and what stands below it.
"""

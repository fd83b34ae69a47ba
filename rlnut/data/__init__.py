"""Datasets: MNIST, small tables, sequences, the user's own file; checked before anything is fitted to them.

Imports `rlnut.runtime` and what stands below it.
"""

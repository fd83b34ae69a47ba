"""A function of arrays as a list of operations: data that a file holds, NumPy alone evaluates and ONNX expresses.

`program` says what such a list is and checks one from a file, `operations` evaluates it in NumPy, `tracing` makes it
of any function that JAX can trace, `onnx_graph` writes it as an ONNX model. Only `tracing` imports JAX. Imports
`rlnut.errors` only.
"""

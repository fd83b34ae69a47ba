"""Linear models solved exactly: least squares, ridge, lasso, logistic and softmax regression, the perceptron.

Float64 on the host, with certificates of optimality; `descent` finds the same minima by gradient steps. Imports
`rlnut.types`, `rlnut.errors` and `rlnut.settings` only.
"""

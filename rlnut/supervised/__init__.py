"""`rlnut.fit`: the same regression with labels in the place of Bellman targets.

`fit` is the entry, `network_settings` and `linear_settings` the named models and their options, `fitted_model` what
comes back. Imports everything below `rlnut.envs`.
"""

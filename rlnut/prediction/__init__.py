"""`rlnut.predict`: learn V_π or Q_π, with the true values beside them.

`predict` is the entry, `methods` the methods and their options, `policies` who acts, `on_tables` and `on_gymnasium`
the two kinds of problem, `result` what comes back. Imports everything below it.
"""

"""Figures of Sutton & Barto (2018) drawn again from our own runs, beside reference values: `rlnut figure NUMBER`.

`figures` is the list; `walks`, `linear`, `offpolicy` and `control` have the figures themselves. Imports everything
below it.
"""

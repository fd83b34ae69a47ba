"""What every long run needs and no mathematics: files, progress and metrics, Ctrl-C, the style of figures.

Imports `rlnut.types` and `rlnut.errors` only.
"""

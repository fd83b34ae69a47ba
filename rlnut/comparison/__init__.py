"""`rlnut.compare`, `rlnut plot`, `rlnut compare`: what runs over several seeds, agents and environments show together.

`reading` finds run folders and reads them, as data; `grouping` puts together the seeds of one agent with one choice of
settings, and names the difference where an agent was trained with several; `scores` makes one number of each run, and
brings environments to one scale; `statistics` is pure NumPy (IQM, probability of improvement, performance profiles,
stratified bootstrap intervals: Agarwal et al. 2021, held to their library rliable by a test); `compare` puts all of it
into a `Comparison`, `curves` makes learning curves with bands, `figures` draws, `seed_summary` is the end of
`rlnut train --seeds K`.

What cannot be used (a run that is not finished, an evaluation that not all runs have, a seed that is there twice) is
left out with a note, and the notes are part of every result. Imports everything below it; needs no JAX.
"""

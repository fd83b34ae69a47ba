"""`rlnut.train`, `resume` and `evaluate`: learn Q, act greedily. The loops, the run folder, the greedy policy.

`training` is the entry, `session` the body of a run, `host_loop` and `native_loop` play the rounds, `plan` says
before the start what a run will do; `checkpoints` and `run_files` write, `run_folder` reads what others wrote.
Imports everything below it; only `training` and `run_folder` know agents by name.
"""

"""`rlnut.train`, `resume` and `evaluate`: learn Q, act greedily. The loops, the run folder, the greedy policy.

`training` is the entry, `session` owns what a run needs, `run_loop` is the loop and `observers` what happens at its
looks; `host_loop`, `native_loop` and `offline_loop` advance it; `setup` and `plan` say before the start what it will
do; `checkpoints` and `run_files` write, `run_folder` reads what others wrote. Imports everything below it; only
`training` and `run_folder` know agents by name.
"""

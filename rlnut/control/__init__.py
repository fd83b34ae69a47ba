"""`rlnut.train`, `resume` and `evaluate`: learn Q, act greedily. The loops, the run folder, the greedy policy.

`training` is the entry, `session` owns what a run needs, `run_loop` is the loop and `observers` what happens at its
looks; `host_loop`, `native_loop` and `offline_loop` advance it; `setup` and `plan` say before the start what it will
do; `checkpoints` and `run_files` write, `recipe` and `run_folder` read what others wrote, `repeat` does it again and
`provenance` tells what is not as it was. Imports everything below it; only `training`, `recipe`, `repeat` and
`run_folder` know agents by name.
"""

"""What makes y when nobody labels the data: Bellman targets, returns, replay, exploration, and the agent of these.

`bellman` turns experience into a regression problem for V or Q, `returns` has every multi-step target, `traces` what
these and eligibility traces have in common, `least_squares` the sums that linear methods solve, `readout` says how
outputs stand for values, `replay`, `prioritised_replay`, `sequence_replay` and `rollout` are memories, `explore`
chooses actions, `agent` composes. Imports `rlnut.networks`, `rlnut.regression`, `rlnut.truth` and what stands below
them; never an environment.
"""

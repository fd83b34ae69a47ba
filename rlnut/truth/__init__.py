"""What is known of finite problems without learning: exact values, fixed points, distributions of returns.

`finite` is the problem, `dynamic_programming` its values, `fixed_points` where linear methods converge to,
`monte_carlo` the estimate where there are no tables. Imports `rlnut.runtime` and what stands below it.
"""

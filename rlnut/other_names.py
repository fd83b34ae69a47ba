"""What other libraries call an option or an agent: names that are understood, and advice where a name has no equal.

`SAME` are names of exactly the same thing: the command line and Python take them as if they were rlnut's own. `OPTIONS`
are names of something near, `EXPLAINED` of something that counts in another unit: both are answered by an error.
"""

from __future__ import annotations

from collections.abc import Collection

# algorithms that learn a policy -> the agent here that is nearest
POLICY_LEARNERS = {
    **dict.fromkeys(("ppo", "ppo2", "a2c", "a3c", "acktr", "trpo", "impala", "vpg", "reinforce", "acer", "ars"), "pqn"),
    **dict.fromkeys(("recurrentppo", "recurrent-ppo", "ppo-lstm"), "recurrent-pqn"),
    **dict.fromkeys(("sac", "redq", "crossq", "droq"), "soft-q"),
    **dict.fromkeys(("ddpg", "td3"), "double-dqn"),
    **dict.fromkeys(("tqc", "d4pg"), "qr-dqn"),
    **dict.fromkeys(("bcq", "iql", "td3-bc", "awac"), "cql"),
}
AGENT_NAMES = {
    "ddqn": "double-dqn", "doubledqn": "double-dqn", "d3qn": "dueling-dqn", "dueling": "dueling-dqn",
    "prioritized-dqn": "per-dqn", "prioritised-dqn": "per-dqn", "dqn-per": "per-dqn", "noisynet": "noisy-dqn",
    "noisynets": "noisy-dqn", "categorical-dqn": "c51", "categorical": "c51", "distributional-dqn": "c51",
    "qrdqn": "qr-dqn", "quantile-dqn": "qr-dqn", "r2d2": "drqn", "qlearning": "q-learning", "q": "q-learning",
    "tabular-q": "q-learning", "watkins-q": "watkins", "m-dqn": "munchausen-dqn", "soft-dqn": "soft-q",
    "fitted-q": "fqi", "fitted-q-iteration": "fqi", "double-q-learning": "double-q", "n-step-q": "n-step-dqn",
}  # fmt: skip
SAME = {  # ours: theirs; the first one of ours that the command has
    "gamma": "discount discount-factor discount-rate",
    "replay": "buffer-size replay-size replay-buffer-size replay-capacity memory-size",
    "batch": "batch-size minibatch-size",
    "steps": "total-timesteps timesteps n-timesteps num-timesteps total-steps",
    "num-envs": "n-envs n-env num-env",
    "minibatches": "num-minibatches n-minibatches",
    "target-rate": "tau polyak",
    "epsilon-start": "exploration-initial-eps start-e eps-start initial-epsilon epsilon-initial",
    "epsilon-end": "exploration-final-eps end-e eps-end final-epsilon epsilon-final",
    "train-every": "train-freq train-frequency",
    "max-gradient": "max-grad-norm",
    "lam": "lambda lamda lmbda gae-lambda q-lambda",
    "atoms": "n-atoms num-atoms n-quantiles num-quantiles",
    "value-min": "v-min vmin",
    "value-max": "v-max vmax",
    "prioritised": "prioritized",
    "normalise": "normalize normalize-obs",
    "optimizer": "optimiser",
    "initializer": "initialiser",
    "hidden": "hidden-sizes hidden-layer-sizes net-arch",
    "epochs": "n-epochs num-epochs max-epochs",
    "eval-every": "eval-freq eval-frequency eval-interval",
    "eval-episodes": "n-eval-episodes num-eval-episodes",
    "log-every": "log-freq log-frequency",
    "seed": "random-seed random-state",
    "seeds": "num-seeds n-seeds",
    "runs": "num-runs n-runs",
    "behaviour": "behavior",
    "env-arg": "env-kwarg",
    "intercept": "fit-intercept",
    "folds": "cv",
    "smoothing": "label-smoothing",
    "lr": "learning-rate learning-rate-init step-size stepsize alpha",
    "alpha": "learning-rate learning-rate-init lr step-size stepsize",
    "n-step": "nstep n-steps multi-step multistep",
    "n": "n-step nstep n-steps",
}
COMMANDS = {  # theirs: ours
    "lists": "list", "ls": "list", "catalogue": "list", "eval": "evaluate", "enjoy": "evaluate", "plots": "plot",
    "figures": "figure", "demos": "demo", "check": "check-env", "checkenv": "check-env", "continue": "resume",
}  # fmt: skip

# (theirs, options of ours that must be there, what to do): the first that fits
EXPLAINED: tuple[tuple[str, tuple[str, ...], str], ...] = (
    *(
        (name, ("target-every",), "it counts environment steps elsewhere, and target-every counts updates: use that")
        for name in ("target-update-interval", "target-network-frequency", "target-network-update-freq")
    ),
    ("exploration-fraction", ("epsilon-steps",), "use epsilon-steps, the same share of steps"),
    *(
        (name, ("rollout", "minibatches"), "it counts steps of each environment elsewhere: use rollout, which counts"
         " those of all together, or steps for the whole run")
        for name in ("n-steps", "num-steps")
    ),
    ("alpha", ("priority-exponent", "lr"), "use lr, the step size, or priority-exponent"),
    ("alpha", ("folds", "l2", "solver"), "use l2, scikit-learn's alpha of Ridge over the number of training rows"),
    ("alpha", ("folds", "l1"), "use l1, which is twice scikit-learn's alpha of Lasso"),
    ("alpha", ("epochs", "l2"), "use l2, which is scikit-learn's alpha of an MLP over twice the rows of a batch"),
    ("alpha", ("lr", "l2"), "use lr, the step size, or l2, the strength of the penalty"),
)  # fmt: skip


def own_option(name: str, allowed: Collection[str]) -> str | None:
    """The one of `allowed` that is meant by `name`: spelled with _ for -, in the singular or plural, or as in `SAME`.

    Both have dashes in front (`--batch-size` -> `--batch`), or none (`batch_size` -> `batch`). None: there is none.
    """
    if name in allowed:
        return name
    plain = _plain(name)
    spelled = {_plain(option): option for option in allowed}
    no = "no-" if plain.startswith("no-") and f"no-{plain[3:]}" not in spelled else ""
    plain = plain[len(no) :]
    if plain in spelled and not no:
        return spelled[plain]
    if plain in ELSEWHERE or explained(plain, spelled):
        return None
    theirs = (f"{no}{ours}" for ours, names in SAME.items() if plain in names.split() and f"{no}{ours}" in spelled)
    numbers = (other for other in (f"{no}{plain}s", f"{no}{plain.removesuffix('s')}") if other in spelled)
    return next((spelled[ours] for ours in (*theirs, *numbers)), None)


def explained(name: str, allowed: Collection[str]) -> str:
    """What to do in the place of an option that counts something else here; empty: nothing is known of it."""
    plain, have = _plain(name), {_plain(option) for option in allowed}
    return next((text for theirs, ours, text in EXPLAINED if theirs == plain and have >= set(ours)), "")


def _plain(name: str) -> str:
    return name.lower().lstrip("-").replace("_", "-")


OPTIONS = {  # ours: theirs
    "lr": "learning-rate learning-rate-init step-size stepsize alpha eta eta0 adam-lr q-lr",
    "alpha": "learning-rate lr step-size stepsize",
    "replay": "buffer-size buffer replay-size replay-buffer replay-buffer-size memory-size replay-memory-size "
    "replay-capacity capacity",
    "gamma": "discount discount-factor discount-rate df",
    "steps": "total-timesteps timesteps n-timesteps num-timesteps total-steps num-steps max-steps n-steps frames "
    "num-frames total-frames iterations n-iterations train-steps env-steps episodes num-episodes n-episodes",
    "batch": "batch-size minibatch-size mini-batch-size bs",
    "minibatches": "num-minibatches n-minibatches nminibatches",
    "rollout": "n-steps num-steps rollout-length rollout-steps rollout-fragment-length",
    "hidden": "hidden-sizes hidden-size hidden-layers hidden-layer-sizes hidden-units hidden-dim net-arch layers "
    "units width",
    "target-every": "target-update-interval target-network-update-freq target-update-freq target-update "
    "target-network-frequency target-update-frequency target-update-period update-freq tau-every",
    "target-rate": "tau polyak polyak-tau",
    "epsilon-start": "exploration-initial-eps start-e eps-start epsilon-initial initial-epsilon eps epsilon",
    "epsilon-end": "exploration-final-eps end-e eps-end epsilon-final final-epsilon epsilon-min min-epsilon eps-min",
    "epsilon-steps": "exploration-fraction exploration-steps eps-decay epsilon-decay epsilon-decay-steps "
    "eps-decay-steps exploration-timesteps",
    "learning-starts": "warmup warmup-steps learning-start random-steps start-steps initial-random-steps "
    "train-start min-replay-size",
    "train-every": "train-freq train-frequency update-every learn-every update-interval update-period",
    "gradient-steps": "n-updates updates-per-step utd replay-ratio",
    "num-envs": "n-envs envs n-env num-env number-of-envs num-workers workers num-actors",
    "max-gradient": "max-grad-norm grad-clip gradient-clip clip-norm max-norm clip-grad grad-norm-clip",
    "n-step": "nstep n-steps multi-step multistep",
    "n": "n-step nstep n-steps steps-n",
    "lam": "lambda lamda lmbda gae-lambda td-lambda trace-decay q-lambda",
    "atoms": "n-atoms num-atoms n-quantiles num-quantiles quantiles",
    "value-min": "v-min vmin",
    "value-max": "v-max vmax",
    "prioritised": "per prioritized prioritized-replay prioritised-replay",
    "priority-exponent": "per-alpha priority-alpha replay-alpha alpha-per",
    "priority-beta": "per-beta replay-beta beta beta0",
    "double": "double-q double-dqn ddqn",
    "dueling": "duel dueling-network",
    "explore": "exploration explorer policy-type",
    "noisy-sigma": "sigma0 noisy-std",
    "layer-norm": "layernorm norm-layer",
    "epochs": "n-epochs num-epochs nb-epoch nb-epochs max-iter max-epochs iterations update-epochs",
    "l2": "weight-decay wd reg alpha ridge penalty c",
    "l1": "alpha lasso",
    "folds": "cv k-folds",
    "intercept": "fit-intercept bias",
    "validation": "val validation-fraction validation-split val-split",
    "patience": "early-stopping n-iter-no-change",
    "optimizer": "optim optimiser opt",
    "schedule": "lr-schedule scheduler learning-rate-schedule",
    "activation": "activation-fn nonlinearity",
    "balanced": "class-weight",
    "eval-every": "eval-freq eval-frequency eval-interval evaluate-every evaluation-interval",
    "eval-episodes": "n-eval-episodes num-eval-episodes",
    "log": "tensorboard tensorboard-log tb-log wandb wandb-project track mlflow mlflow-uri logger loggers",
    "log-every": "log-interval log-freq log-frequency",
    "reward-clip": "clip-rewards clip-reward reward-clipping",
    "normalise": "normalize normalize-obs norm-obs normalise-obs obs-norm",
    "env-arg": "env-kwargs env-args env-kwarg env-config",
    "native": "jit compiled jax",
    "out": "output output-dir out-dir outdir save-dir save-path log-dir logdir dir folder save o outfile",
    "seed": "random-seed random-state",
    "seeds": "num-seeds n-seeds",
    "video": "render record capture-video save-video record-video gif",
    "policy": "target-policy pi",
    "behaviour": "behavior behaviour-policy behavior-policy",
    "runs": "num-runs n-runs repeats repetitions",
    "features": "feature basis tiles tilings",
    "data": "dataset data-dir data-path",
    "target": "target-column",
}

ELSEWHERE = {
    **dict.fromkeys(
        ("env", "env-id", "env-name", "environment", "gym-id", "task"), "the environment is named without an option"
    ),
    **dict.fromkeys(("agent", "algo", "algorithm"), "the agent is named without an option: rlnut train AGENT ENV"),
    **dict.fromkeys(("model", "arch"), "the model is named without an option: rlnut fit MODEL DATASET"),
    **dict.fromkeys(
        ("device", "gpu", "cuda", "use-cuda", "cpu", "no-cuda"),
        "JAX chooses the device, a GPU if it has one; to choose yourself: JAX_PLATFORMS=cpu (or cuda) rlnut …",
    ),
}

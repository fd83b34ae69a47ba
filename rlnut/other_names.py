"""What other libraries call an option or an agent, for errors that name the one of rlnut."""

from __future__ import annotations

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
        "JAX chooses the device: set JAX_PLATFORMS=cpu or cuda in the environment",
    ),
}

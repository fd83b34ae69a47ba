"""A run of an agent of a test's own that was stopped and resumed, beside one that was not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import rlnut
from rlnut.learner.config import AgentConfig


def check_resumes_bit_for_bit(config: AgentConfig, folder: Path, **words: Any) -> None:
    """80 steps and then 80 more leave the same bytes as 160 in one go, and so does the policy that is loaded."""
    words |= {"eval_every": 80, "eval_episodes": 1, "final_episodes": 1, "quiet": True, "seed": 3}
    whole = rlnut.train(config, "CartPole-v1", steps=160, out=folder / "whole", **words)
    rlnut.train(config, "CartPole-v1", steps=80, out=folder / "part", **words)
    part = rlnut.resume(folder / "part", steps=160, quiet=True, agent=type(config))
    assert part.evaluation == whole.evaluation
    for file in ("policy.safetensors", "checkpoint.safetensors", "metrics.csv"):
        assert (folder / "whole" / file).read_bytes() == (folder / "part" / file).read_bytes(), file
    loaded = rlnut.load_policy(folder / "part", agent=type(config))
    np.testing.assert_array_equal(loaded.q(np.zeros(4)), whole.q(np.zeros(4)))

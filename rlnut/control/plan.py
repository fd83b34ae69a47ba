"""Make the plan of a run from the agent, the environments and the settings, before anything is allocated."""

from __future__ import annotations

import math
from dataclasses import dataclass

import gymnasium as gym
import jax
import psutil

from rlnut.control.host_loop import one_row
from rlnut.control.settings import RunSettings
from rlnut.envs.frame_stacks import frame_stack
from rlnut.envs.functional import FuncVector, func_vector
from rlnut.envs.make import EnvLike, maker
from rlnut.envs.twins import twin
from rlnut.envs.vector import EnvList, HostVector, host_vector
from rlnut.envs.vectorized import vectorized
from rlnut.errors import RlnutError, UsageError
from rlnut.learner.agent import Agent, AgentState
from rlnut.learner.replay import ReplayState
from rlnut.learner.spec import Choice, Spec
from rlnut.runtime.wrappers import time_limit
from rlnut.settings import LARGEST
from rlnut.types import Look, Model, Network, Tree

EPISODE = 300  # bytes of an episode's return, length and over-estimation, as arrays, as Python's numbers and as text


@dataclass(frozen=True)
class Plan:
    """The numbers of a run before it starts."""

    steps: int  # a whole number of rounds
    round_steps: int  # environment steps in a round, over all environments
    updates: int
    batch: int
    window: int
    learning_starts: int
    epsilon_end: float  # ε at the last step
    memory_bytes: int
    learner_bytes: int  # weights, target, optimiser, their copies, and one batch
    parameters: int
    evaluations: int
    saw: str  # what the learner sees
    stored: str  # what the replay memory keeps of it

    def check(self, free_bytes: int) -> None:
        """Refuse a run that would never learn, or whose memory cannot fit."""
        if self.updates == 0:
            raise UsageError(
                f"this run would make 0 updates: learning starts at step {self.learning_starts:,} and the run ends at"
                f" step {self.steps:,}; increase --steps or decrease --learning-starts"
            )
        if self.memory_bytes > free_bytes:
            raise UsageError(
                f"the replay memory needs {mib(self.memory_bytes)} MiB and {mib(free_bytes)} MiB are free;"
                " give a smaller --replay"
            )
        if self.memory_bytes + self.learner_bytes > free_bytes:
            raise UsageError(
                f"the learner needs {mib(self.learner_bytes)} MiB and its replay memory {mib(self.memory_bytes)};"
                f" {mib(free_bytes)} MiB are free; give a smaller --hidden, --batch or --replay"
            )
        if self.updates > LARGEST[int]:
            raise UsageError(f"this run would make {self.updates:,} updates: at most {LARGEST[int]:,} can be counted")

    def lines(self) -> list[str]:
        """For people."""
        drawn = f"{self.batch} transitions" if self.window == 1 else f"{self.batch} windows of {self.window} steps"
        return [
            f"input      {self.saw}; {self.parameters:,} parameters",
            f"steps      {self.steps:,} in rounds of {self.round_steps}, {self.evaluations} greedy evaluations",
            f"updates    {self.updates:,} of {drawn}, from step {self.learning_starts:,}",
            f"ε          {self.epsilon_end:.3g} at the end",
            f"replay     {mib(self.memory_bytes)} MiB{self.stored}",
        ]


def mib(size: int) -> str:
    """Bytes -> MiB, for people."""
    return f"{size / 2**20:,.1f}"


def environments(env: EnvLike, training: RunSettings) -> HostVector | FuncVector:
    """N environments to train on: on the host, or as functions of the twin."""
    choice = Choice(training.actions, training.bins)
    if training.devices != 1 and not training.native:
        raise UsageError("devices has no effect without native: environments on the host are stepped one by one")
    if training.native and training.overlap:
        raise UsageError("overlap has no effect with native: the environments and the learner are one program there")
    if training.vectorization_mode is not None:
        if training.native:
            raise UsageError("vectorization_mode has no effect with native: all environments are in one program there")
        env = vectorized(env, training.num_envs, training.vectorization_mode)
    if isinstance(env, gym.vector.VectorEnv):
        if training.native:
            raise UsageError("a VectorEnv has no functional twin: pass an environment, its name or a FuncEnv")
        return frames_once(host_vector(env, choice=choice), env, training)
    make = maker(env)
    if not training.native:
        vector = host_vector(make, training.num_envs, choice)
        return frames_once(vector, vector.envs[0].env, training) if isinstance(vector, EnvList) else vector
    real = make()
    try:
        return func_vector(twin(real), training.num_envs, time_limit(real), choice)
    finally:
        real.close()


def frames_once(vector: HostVector, env: gym.Env | gym.vector.VectorEnv, training: RunSettings) -> HostVector:
    """The same, where a replay may keep each frame of a stack once, if the environment tells that there are stacks."""
    stack, vector.stored = frame_stack(env, vector.spec)
    if training.stacks == "once" and stack is not None:
        vector.spec = vector.spec._replace(observed=vector.spec.observed._replace(stack=stack))
    return vector


def make_plan(agent: Agent, state: AgentState, vector: HostVector | FuncVector, training: RunSettings) -> Plan:
    """The numbers of a run before it starts; state: the shapes and types of the agent's."""
    pace = agent.pace
    round_steps = pace.round_length(vector.num_envs) * vector.num_envs
    steps = whole_rounds(training.steps, round_steps)
    obs = math.prod(vector.spec.shape) * vector.spec.dtype.itemsize
    return Plan(
        steps=steps,
        round_steps=round_steps,
        updates=pace.due(steps),
        batch=pace.batch,
        window=pace.window,
        learning_starts=pace.starts,
        epsilon_end=float(agent.rate(steps)),
        memory_bytes=nbytes(state.memory),
        learner_bytes=2 * nbytes((state.fit, state.target)) + 2 * pace.batch * pace.window * obs,
        parameters=sum(a.size for a in jax.tree.leaves(state.fit.params)),
        evaluations=len(range(training.eval_every, steps + 1, training.eval_every)) + bool(steps % training.eval_every),
        saw=vector.spec.saw,
        stored=_stored(state.memory, vector),
    )


def _stored(memory: Tree, vector: HostVector | FuncVector) -> str:
    """What a replay of images or stacks keeps, for people: " (100,000 frames of 84 × 84 uint8, each once)"."""
    rings = [leaf for leaf in jax.tree.leaves(memory, is_leaf=_is_ring) if _is_ring(leaf)]
    shape, stack = vector.spec.shape, vector.spec.observed.stack
    if not rings or len(shape) < 2:
        return ""
    count = f"{rings[0].begins.size:,} {'frames' if stack else 'observations'}"
    size = f"{' × '.join(map(str, shape[1:] if stack else shape))} {vector.spec.dtype}"
    why = getattr(vector, "stored", "")
    return f" ({count} of {size}{', each once' if stack else ''}{f'; {why}' if why else ''})"


def _is_ring(leaf: object) -> bool:
    return isinstance(leaf, ReplayState)


def check_episodes(episodes: int) -> None:
    """Refuse an evaluation whose results do not fit into memory."""
    if (size := EPISODE * episodes) > (free := int(psutil.virtual_memory().available)):
        raise UsageError(f"the results of {episodes:,} episodes need {mib(size)} MiB; {mib(free)} MiB are free")


def check_model(network: Network, spec: Spec) -> None:
    """UsageError for a network that is not a function: output shape -> Model."""
    try:
        made: object = network(spec.choices)
    except RlnutError:
        raise
    except Exception as error:  # whatever a user's function raises
        text = " ".join(str(error).split())[:300]
        raise UsageError(f"network({spec.choices}) raised {type(error).__name__}: {text}") from error
    if not isinstance(made, Model):
        raise UsageError(f"network must be a function: output shape -> Model, and it returned {type(made).__name__}")


def check_outputs(agent: Agent, spec: Spec) -> None:
    """UsageError for a network that cannot be applied to these observations, or gives another number of values."""
    row = one_row(spec, 1, carry=agent.carry(1))
    look = Look(row.obs, row.end)
    try:
        params = jax.eval_shape(lambda: agent.init(jax.random.key(0), row).fit.params)
        found, _ = jax.eval_shape(agent.q, params, agent.carry(1), look)
    except RlnutError:
        raise
    except Exception as error:  # whatever a user's network raises
        text = " ".join(str(error).split())[:300]
        raise UsageError(
            f"the network cannot be applied to observations {spec.dtype}{list(spec.shape)}: {type(error).__name__}:"
            f" {text}; network= is a function: output shape -> Model"
        ) from None
    if found.shape != (1, *spec.choices):
        raise UsageError(f"the network gives values {list(found.shape[1:])}, and {list(spec.choices)} are needed")


def nbytes(shapes: Tree) -> int:
    """Size of a pytree of arrays, or of their shapes."""
    return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(shapes))


def whole_rounds(steps: int, round_steps: int) -> int:
    """The least whole number of rounds, in steps, that makes `steps`."""
    return math.ceil(steps / round_steps) * round_steps


def free_memory() -> int:
    """Free bytes where the arrays will live: of the accelerator if there is one, else of the machine."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if jax.default_backend() != "cpu" and "bytes_limit" in stats:
        return int(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return int(psutil.virtual_memory().available)

"""The types that all files share: a model, a regression problem, a piece of experience.

All are NamedTuples, so all are pytrees: state goes into a pure function and comes out of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated as Shaped  # Shaped[Array, "T N"]: an array and its axes, which the tests check  # noqa: F401
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

Array = jax.Array | np.ndarray
Key = jax.Array  # an explicit random key: jax.random.key(seed)
Example = Array | jax.ShapeDtypeStruct  # an array of which only shape and type are read
Tree = Any  # a pytree of arrays
Params = Tree  # the lecture's θ
Carry = Tree  # what an actor carries through time for N environments, [N, ...]; () for feed-forward networks
Inputs = Tree  # what a model reads: an array [B, ...], or several (images and a vector, a `Window`)
Shape = tuple[int, ...]
Metrics = dict[str, Any]  # name -> scalar


class InitFn(Protocol):
    """(key, x [B, ...]) -> θ; of x, an array or a pytree of arrays, only shapes and types are read."""

    def __call__(self, key: Key, x: Inputs, /) -> Params: ...


class ApplyFn(Protocol):
    """(θ, x [B, ...]) -> ŷ [B, ...]; of a stochastic model (θ, x, key or None), None: no noise (dropout off)."""

    def __call__(self, params: Params, x: Inputs, /, *key: Any, **none: Any) -> Array: ...


class Model(NamedTuple):
    """Any approximator g_θ(x). A layer is one too, so networks are built from models by `networks.serial`.

    Modules of other libraries go in so (Flax's linen; Haiku; Equinox, whose parameters are the module's arrays):

        Model(module.init, module.apply)
        net = hk.without_apply_rng(hk.transform(f));  Model(net.init, net.apply)
        static = eqx.filter(make(key), eqx.is_array, inverse=True);  Model(
            lambda key, x: eqx.filter(make(key), eqx.is_array), lambda θ, x: jax.vmap(eqx.combine(θ, static))(x))
    """

    init: InitFn
    apply: ApplyFn
    stochastic: bool = False  # apply takes a third argument, the key
    host: bool = False  # apply works on NumPy arrays as it does on JAX arrays: small nets then act without a device
    name: str = ""  # what a layer is, in a summary: "dense 64"
    parts: tuple[Any, ...] = ()  # the models that one of `serial` consists of, with θ in the same order

    def __repr__(self) -> str:
        return f"Model({', '.join(map(_layer_text, self.parts)) or self.name or 'init, apply'})"


def _layer_text(model: Model) -> str:
    return ", ".join(map(_layer_text, model.parts)) or model.name or "function"


Network = Callable[[Shape], Model]  # an architecture without its head: output shape -> model


class Window(NamedTuple):
    """Steps that follow one another, as a recurrent network reads them in place of single observations: a pytree."""

    obs: Array  # [B, W, ...]
    begin: Array  # [B, W] bool: an episode begins here
    carry: Carry  # [B, ...] what is carried into the first step
    at: Array  # [B, L] the steps whose outputs are wanted, as rows [B·L]


Observed = Array | Window  # what a network reads: observations [B, ...], or the steps of a window


class Batch(NamedTuple):
    """One regression problem: make g_θ(x) equal y."""

    x: Observed  # [B, ...]
    y: Array  # [B, ...] labels, returns or bootstrapped values
    index: Array | None = None  # type: ignore[assignment]  # [B] which output to regress (the action); None = all of them
    weight: Array | None = None  # [B] factor of each row's loss; None = 1
    mask: Array | None = None  # [B, A] which outputs there are (allowed actions): for penalties of all; None = all


class Look(NamedTuple):
    """What an agent acts on: the present observations of N environments."""

    obs: Array  # [N, ...]
    fresh: Array  # [N] bool: the first step of an episode, where whatever is carried through time starts anew
    mask: Array | None = None  # [N, A] bool: allowed actions; None = all


class Transition(NamedTuple):
    """Experience, time first: [T, N, ...] from N environments, or [B, ...] from a replay memory."""

    obs: Array
    action: Array  # int32, counted from 0
    reward: Array
    discount: Array  # γⁿ·(1 − terminated): a truncated episode still bootstraps
    next_obs: Array  # the true successor, also at an episode's end
    end: Array  # terminated | truncated: cuts traces and returns, nothing else
    valid: Array  # False for a row that is no experience: the reset step of Gymnasium's NEXT_STEP mode
    mask: Array | None = None  # [T, N, A] bool: actions allowed at obs; None = all
    next_mask: Array | None = None  # the same at next_obs: what a bootstrapped maximum may choose from
    carry: Carry = ()  # what the actor carried into obs, [T, N, ...]; () for feed-forward networks
    fresh: Array | None = None  # bool: an episode begins here; None where nobody asks
    window: Window | None = None  # rows [B·L] of windows: what a recurrent network reads in place of obs
    next_window: Window | None = None  # the same in place of next_obs
    kept: Tree = ()  # what an agent keeps beside each transition, a pytree [T, N, ...] or [B, ...]
    next_policy: Array | None = None  # [.., A] π(·|s') of the policy whose values are learned, where it is given

    @property
    def x(self) -> Observed:
        """What a network reads at s."""
        return self.obs if self.window is None else self.window

    @property
    def next_x(self) -> Observed:
        """What it reads at s'."""
        return self.next_obs if self.next_window is None else self.next_window


Experience = Transition  # as an argument: all of it has the same leading axes, which the tests check


def discount_of(gamma: Array | float, terminated: Array) -> Array:
    """D = γ·(1 − terminated), float32: a terminal state is worth 0, one where an episode was cut is not."""
    xp = namespace(terminated)
    return xp.where(terminated, xp.float32(0), xp.asarray(gamma, xp.float32))


def transition(
    obs: Array,
    action: Array,
    reward: Array,
    next_obs: Array,
    terminated: Array,
    truncated: Array | bool,
    gamma: Array | float,
    valid: Array | None = None,
    **more: Any,
) -> Transition:
    """Steps as an environment tells them, of any leading shape, as experience; valid None: all; more: fields of it."""
    valid = namespace(terminated).ones_like(terminated) if valid is None else valid
    end = terminated | truncated
    return Transition(obs, action, reward, discount_of(gamma, terminated), next_obs, end, valid, **more)


class Fit(NamedTuple):
    """What a regression learns and needs to continue: a pytree."""

    params: Params
    opt_state: Tree
    step: Array  # int32 [], updates done
    key: Key  # base key of a stochastic model; step s draws from fold_in(key, s)


def call(model: Model, params: Params, x: Inputs, key: Key | None = None) -> Array:
    """g_θ(x), with noise from `key` if the model is stochastic and a key is given."""
    return model.apply(params, x, key) if model.stochastic else model.apply(params, x)


def namespace(x: Array) -> Any:
    """The array library that x belongs to: numpy or jax.numpy, so that one definition serves both."""
    return np if type(x) is np.ndarray else x.__array_namespace__()

"""The methods of `rlnut predict` and their options; importing this is cheap."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from rlnut.agents.td_rules import Expected, TDRule
from rlnut.choices import CORRECTIONS, Correction, ManyActions
from rlnut.errors import UsageError, unknown
from rlnut.learner.traces import Cut
from rlnut.runtime.registry import Registry
from rlnut.settings import Settings, setting

Fold = Literal["", "n", "episode"]
Solver = Literal["scan", "lstd", "rlstd", "fitted"]
Steps = Literal["plain", "averaged", "tuned"]  # α is given; and weights are averaged; and α comes from the features


class Method(NamedTuple):
    """One method: which recursion, and which options apply to it. `name` is filled in where it is looked up."""

    help: str
    rule: TDRule = TDRule()
    uses: tuple[str, ...] = ("alpha",)  # of OPTIONAL
    fold: Fold = ""  # "n": n-step transitions, "episode": Monte Carlo
    solver: Solver = "scan"  # step by step, or solved at once
    lam: float | None = None  # λ where it is fixed
    on_policy: str = ""  # why it is on-policy only
    linear: str = ""  # why it is linear only
    expected: Expected | None = None  # its mean update, where it has one
    correction: Cut | None = None  # where it is fixed
    name: str = ""

    @property
    def whole_returns(self) -> bool:
        """Its target is the return of a whole episode, so episodes must end."""
        return self.lam == 1

    @property
    def one_step(self) -> bool:
        """Its target is r + γ v(s') and nothing else."""
        return self.lam == 0 and not self.fold

    @property
    def solved(self) -> bool:
        """Least squares over all data so far: there is no step size."""
        return self.solver in ("lstd", "rlstd")

    def trace(self, config: Prediction) -> float:
        """λ of this method: fixed, given, or its usual one: 0.9 for the traces of TD(λ), 0 for the others."""
        if self.lam is not None:
            return self.lam
        traces = self.solver == "scan" and self.rule.semi_gradient and not self.rule.emphatic
        return config.lam if config.lam is not None else 0.9 if traces else 0.0


BINARY, DUTCH = "its traces are defined feature by feature", "its exactness is a theorem about linear functions"
SECOND = "its second weights live in the space of the features; for networks it needs the Hessian"
SAME = "its target is a plain return of the policy that acts"

SOLVED, EMPHASIS = "it is solved, not followed", "its emphasis is a weighting of features"
GRADIENT = ("alpha", "beta", "lam", "correction")
OPTIONAL = ("alpha", "beta", "lam", "n", "correction", "iterations", "epochs", "data")  # what some methods use

OWN: dict[str, Method] = {
    "mc": Method("gradient Monte Carlo (S&B 9.3)", TDRule(), ("alpha", "correction"), "episode", lam=1),
    "td0": Method("semi-gradient TD(0) (S&B 9.3)", TDRule(), ("alpha", "correction"), lam=0, expected="td"),
    "nstep": Method("n-step TD (S&B 7.1, 9.4)", TDRule(), ("alpha", "n", "correction"), "n", lam=0),
    "td-lambda": Method(
        "TD(λ), accumulating traces (S&B 12.2)", TDRule(), ("alpha", "lam", "correction"), expected="td"
    ),
    "td-lambda-replacing": Method(
        "TD(λ), replacing traces", TDRule(trace="replacing"), ("alpha", "lam", "correction"), linear=BINARY
    ),
    "td-lambda-dutch": Method(
        "TD(λ), dutch traces", TDRule(trace="dutch"), ("alpha", "lam"), on_policy=SAME, linear=BINARY
    ),
    "true-online-td": Method(
        "true online TD(λ) (S&B 12.5)",
        TDRule(trace="dutch", online=True),
        ("alpha", "lam"),
        on_policy="its correction is derived for ρ = 1",
        linear=DUTCH,
    ),
    "offline-lambda": Method(
        "off-line λ-return (S&B 12.1)",
        TDRule(offline=True),
        ("alpha", "lam"),
        on_policy=SAME,
        linear="its λ-returns are kept as features",
    ),
    "retrace": Method("Retrace(λ) for Q (Munos et al. 2016)", TDRule(), ("alpha", "lam"), correction="retrace"),
    "tree-backup": Method(
        "tree-backup(λ) for Q (Precup et al. 2000)", TDRule(), ("alpha", "lam"), correction="tree-backup"
    ),
    "v-trace": Method("V-trace for V (Espeholt et al. 2018)", TDRule(), ("alpha", "lam"), correction="v-trace"),
    "batch-td": Method(
        "the end of batch TD(0): certainty equivalence (S&B 6.3)", TDRule(), (), "", "lstd", 0, "", SOLVED
    ),
    "batch-mc": Method("the end of batch Monte Carlo: mean returns", TDRule(), (), "", "lstd", 1, "", SOLVED),
    "lstd": Method("least-squares TD(λ) (S&B 9.8)", TDRule(), ("lam", "correction"), solver="lstd", linear=SOLVED),
    "rlstd": Method("recursive least-squares TD(λ)", TDRule(), ("lam", "correction"), solver="rlstd", linear=SOLVED),
    "fqe": Method(
        "fitted Q evaluation (Le et al. 2019)",
        TDRule(),
        ("alpha", "iterations", "epochs", "data"),
        solver="fitted",
        lam=0,
    ),
    "residual-gradient": Method(
        "residual gradient, one sample (Baird 1995; S&B 11.5)",
        TDRule(gradient="residual"),
        lam=0,
        expected="residual-gradient",
    ),
    "residual-gradient-double": Method(
        "residual gradient, two independent successors", TDRule(gradient="double"), lam=0, expected="residual-gradient"
    ),
    "gtd2": Method("GTD2(λ)", TDRule(gradient="gtd2"), GRADIENT, linear=SECOND, expected="gtd2"),
    "tdc": Method("TDC(λ), also called GTD(λ)", TDRule(gradient="tdc"), GRADIENT, linear=SECOND, expected="tdc"),
    "tdrc": Method("TDRC(λ)", TDRule(gradient="tdrc"), ("alpha", "lam", "correction"), linear=SECOND, expected="tdrc"),
    "etd": Method(
        "emphatic TD(λ) (S&B 11.8)", TDRule(emphatic=True), ("alpha", "lam"), linear=EMPHASIS, expected="etd"
    ),
}
ALIASES = {
    "montecarlo": "mc", "gradientmc": "mc", "gradientmontecarlo": "mc", "td": "td0", "semigradienttd": "td0",
    "nsteptd": "nstep", "ntd": "nstep", "tdlam": "td-lambda", "accumulating": "td-lambda", "tdλ": "td-lambda",
    "tdlambdaaccumulating": "td-lambda", "trueonline": "true-online-td", "trueonlinetdlambda": "true-online-td",
    "trueonlinetdλ": "true-online-td", "offlinelambdareturn": "offline-lambda", "lambdareturn": "offline-lambda",
    "lstdlambda": "lstd", "lstdλ": "lstd", "recursivelstd": "rlstd", "emphatictd": "etd", "emphatic": "etd",
    "gtdlambda": "tdc", "gtdλ": "tdc", "gtd": "gtd2", "etdλ": "etd", "etdlambda": "etd",
    "treebackuplambda": "tree-backup",
    "retracelambda": "retrace", "retraceλ": "retrace", "treebackupλ": "tree-backup", "tb": "tree-backup",
    "doublesampleresidualgradient": "residual-gradient-double", "nstepsarsa": "nstep",
    "replacing": "td-lambda-replacing", "dutch": "td-lambda-dutch", "rg": "residual-gradient",
    "fittedqevaluation": "fqe",
}  # fmt: skip


def _method(thing: object, said: str) -> Method:
    """UsageError for what is no method, or uses options that there are not."""
    if not isinstance(thing, Method):
        raise UsageError(f"{said} is not a rlnut.prediction.methods.Method, but of type {type(thing).__name__}")
    if not isinstance(thing.rule, TDRule):
        raise UsageError(f"{said}: its rule must be a rlnut.agents.td_rules.TDRule, got {thing.rule!r}")
    for option in thing.uses:
        if option not in OPTIONAL:
            raise unknown(f"option in the uses of {said}", option, OPTIONAL)
    return thing


METHODS = Registry("method", "rlnut.methods", OWN, _method)


def register_method(name: str, method: Method) -> None:
    """Let a prediction method of your own be known by a name: to `predict` and the command line of this process.

    Installed packages have entry points for that: `[project.entry-points."rlnut.methods"]`. UsageError for a name that
    is taken, whatever its spelling, and for what is no `Method`.
    """
    other = _spellings().get(_plain(str(name)))
    if other is not None and other != name:
        raise UsageError(f"the method name {name!r} is taken: it is another spelling of {other}; choose another name")
    METHODS.register(name, method)


def _plain(name: str) -> str:
    return re.sub(r"[^0-9a-zλ]", "", name.lower())


def _spellings() -> dict[str, str]:
    return {_plain(key): key for key in METHODS.known()} | ALIASES


def find(method: str | Method, *, other: object = None) -> Method:
    """A method by its name, whatever the spelling: "TD(0)", "td_lambda"; or MODULE:NAME; or a `Method` itself.

    `other` is the word beside it: if that one is a method, the two were swapped.
    """
    if isinstance(method, Method):
        found = _method(method, method.name or "method")
        return found if found.name else found._replace(name="method")
    name = _spellings().get(_plain(method), method) if method not in METHODS.added else method
    return METHODS.find(name, other=other)._replace(name=name)


@dataclass(frozen=True)
class Prediction(Settings):
    """Options of `rlnut predict`."""

    gamma: float | None = setting(None, "discount factor γ (None: the problem's own, else 0.99)", low=0, high=1)
    lam: float | None = setting(
        None,
        "trace decay λ (None: 0.9, off-policy 0.9/√E[ρ²]; 0 for lstd, rlstd and, with --alpha, gtd2, tdc, tdrc, etd)",
        low=0,
        high=1,
    )
    n: int = setting(4, "n of n-step TD", low=1)
    alpha: float | None = setting(
        None,
        "constant step size α (None: computed from the second moments of features and traces and decaying with "
        "√visits, with averaged weights; for networks: a decaying schedule)",
        above=0,
    )
    averaging: bool = setting(False, "average the weights even if --alpha is given")
    beta: float | None = setting(None, "step size β of the auxiliary weights, with --alpha (None: α)", above=0)
    features: str = setting(
        "auto",
        "one-hot, own, raw, aggregation:GROUPS, polynomial:ORDER, fourier:ORDER, rbf:COUNT, random-fourier:COUNT, "
        "tiles:TILINGS,TILES,SIZE (hashed to SIZE features) or mlp:WIDTH (raw, with two hidden layers); "
        "auto: own where the problem has them, else one-hot for discrete states and tiles for boxes",
    )
    hidden: tuple[int, ...] = setting((), "hidden layers of a network over the features (empty: linear)", low=1)
    values: Literal["v", "q"] = setting("v", "state values V or action values Q", choices=("v", "q"))
    behaviour: str = setting("own", "behaviour policy: own (the problem's b, else π), policy (π), or as in --policy")
    correction: Correction = setting(
        "importance",
        "off-policy correction: importance (per decision), ordinary (products of ρ, for mc and nstep), retrace and "
        "tree-backup for Q, v-trace for V, none",
        choices=CORRECTIONS,
    )
    next_action: Literal["expected", "sampled"] = setting(
        "expected",
        "bootstrap Q from the expectation Σπ(a|s')q(s',a), or from the sampled action, ρ'q(s',a')",
        choices=("expected", "sampled"),
    )
    episodes: int | None = setting(None, "number of episodes in each run (None: --steps steps)", low=1)
    steps: int = setting(50_000, "number of steps in each run", low=1)
    runs: int = setting(1, "number of independent runs; the mean of their errors is reported", low=1)
    expected: bool = setting(False, "iterate the expected update --steps times in place of sampling")
    iterations: int | None = setting(
        None, "most iterations of fqe; ends earlier on convergence (None: K with γᴷ <= 0.01, at most 1000)", low=1
    )
    epochs: int = setting(1, "passes of a network over the transitions per iteration of fqe", low=1)
    data: str | None = setting(None, "transitions for fqe: an .npz file, or minari:DATASET (None: collected with b)")
    initial: float | None = setting(None, "initial value of every weight (None: the problem's own, else 0)")
    rollouts: int = setting(
        100, "returns per Monte-Carlo estimate of a true value, for problems that are not finite", low=2, high=10**6
    )
    states: int = setting(20, "number of states whose true value is estimated by Monte Carlo", low=1, high=10**6)
    native: bool = setting(False, "collect experience on the JAX version of the environment, compiled")
    actions: ManyActions | None = setting(
        None,
        "multi-dimensional actions: all combinations (grid), or each dimension on its own (decoupled, DecQN)",
        choices=("grid", "decoupled"),
    )
    bins: int | None = setting(
        None, "bins per dimension of a Box action (None: 3 for Q and off-policy, else continuous)", low=2, high=10_000
    )


def settle(method: Method, given: set[str], config: Prediction, network: bool = False) -> Prediction:
    """What the method fixes filled in. UsageError for options that it would not use, or that exclude each other."""
    name = method.name
    for option in OPTIONAL:
        if option in given and option not in method.uses:
            raise UsageError(f"--{option} has no effect with {name}: {method.help}")
    if method.correction:
        config = config.replace(correction=method.correction)
    fitted = method.solver == "fitted"
    if (method.correction or fitted) and "values" not in given:
        config = config.replace(values="v" if method.correction == "v-trace" else "q")
    network = network or bool(config.hidden) or config.features.startswith("mlp")
    pairs, correction = config.values == "q", config.correction
    names = ", ".join(k for k, m in METHODS.known().items() if m.expected)
    sampled = config.next_action == "sampled"
    refusals = [
        ({"episodes", "steps"} <= given, "give --episodes or --steps, not both"),
        (fitted and not pairs, f"{name} learns action values: --values q"),
        (
            fitted and not network and bool({"alpha", "epochs"} & given),
            f"{name} solves linear functions exactly: --alpha and --epochs are for a network",
        ),
        (
            config.data is not None and bool({"episodes", "steps", "runs", "behaviour"} & given),
            "--data is there already: --episodes, --steps, --runs and --behaviour are for playing",
        ),
        (config.expected and not method.expected, f"{name} has no expected version; these have: {names}"),
        (config.expected and network, "--expected iterates linear equations: leave the network out"),
        (config.expected and bool({"episodes", "runs"} & given), "--expected has no episodes and runs: give --steps"),
        (network and bool(method.linear), f"{name} takes no network: it is linear only, {method.linear}"),
        (network and config.initial is not None, "--initial is for linear functions: a network draws its weights"),
        (correction in ("retrace", "tree-backup") and not pairs, f"{correction} is for action values: --values q"),
        (correction == "v-trace" and pairs, "v-trace is for state values: its ρ corrects the first action too"),
        (correction == "ordinary" and not method.fold, f"--correction ordinary is for mc and nstep, not for {name}"),
        (
            method.fold == "episode" and correction not in ("importance", "ordinary", "none"),
            f"--correction {correction} bootstraps, which {name} does not: use nstep or td-lambda",
        ),
        (sampled and not pairs, "--next-action is for action values: add --values q"),
        (
            sampled
            and (fitted or correction in ("retrace", "tree-backup") or config.expected or method.rule.second_try),
            f"--next-action sampled: {'--expected' if config.expected else name} is defined by the expectation",
        ),
        (
            "correction" in given and pairs and method.one_step and not sampled,
            "--correction has no effect with TD(0) for Q: its target r + γΣπq(s',a) is the same for every b",
        ),
    ]
    for refused, reason in refusals:
        if refused:
            raise UsageError(reason)
    return config

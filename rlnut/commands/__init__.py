"""The commands of `rlnut`, one file each. A command module has no heavy imports at its top and exposes

- `configure(parser, words)`: adds arguments; `words` are those after the command's name;
- `check(args)`, if a name brings options of its own: refuses a wrong one before an option of it is called unknown;
- `run(args) -> dict`: does it and returns the JSON object of the contract.
"""

COMMANDS = {  # name -> its line in the list; the module of the same name is imported when it is asked for
    "train": "train an agent on an environment: it learns action values Q and acts greedily",
    "resume": "continue a run exactly where it stopped, or for more steps",
    "evaluate": "play episodes with the greedy policy of a run, or record a video of it",
    "export": "write the greedy policy of a run as an ONNX model, or for JAX",
    "plot": "draw learning curves of runs, over seeds, agents and environments",
    "compare": "compare agents over seeds and environments, with confidence intervals",
    "sweep": "train agents × environments × settings × seeds from one file, and compare them; can be continued",
    "predict": "learn V or Q of a fixed policy and compare it with the true values; or apply a fit to new rows",
    "figure": "reproduce a figure of Sutton & Barto (2018), with its reference values",
    "fit": "fit a supervised model: linear models, MLP, CNN, LSTM, …",
    "demo": "run a worked example of the lecture: its results and a figure",
    "list": "list agents, methods, models, datasets, environments and presets",
    "check-env": "show how an environment is encoded for the learner, and what looks wrong with it",
    "completion": "print a script that completes commands and options in bash, zsh or fish",
}

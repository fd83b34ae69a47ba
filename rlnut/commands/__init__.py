"""The commands of `rlnut`, one file each. A command module has no heavy imports at its top and exposes

- `configure(parser, words)`: adds arguments; `words` are those after the command's name;
- `check(args)`, if a name brings options of its own: refuses a wrong one before an option of it is called unknown;
- `run(args) -> dict`: does it and returns the JSON object of the contract.
"""

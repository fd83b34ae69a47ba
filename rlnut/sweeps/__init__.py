"""Sweeps: agents × environments × settings × seeds from one file, each run in a folder of its own, and compared."""

"""What the benchmarks share: the machine they ran on, and applications' histories of any length as facts."""

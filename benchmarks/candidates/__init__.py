"""The candidates of the benchmarks, one library per file."""

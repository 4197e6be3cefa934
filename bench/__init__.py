"""Benchmarks: each writes JSON under bench/results/ that the tables of README and docs are made from."""

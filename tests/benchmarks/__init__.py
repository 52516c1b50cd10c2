"""Measurements, run by `make bench`: they take minutes and want a quiet machine."""

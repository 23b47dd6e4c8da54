"""Measured runs: what a probe found on the GPU that is there, and the constants refitted to it."""

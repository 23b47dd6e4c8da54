"""Spot under a deadline: what availability does to a run, and which policy to follow."""

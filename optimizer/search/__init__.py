"""Candidates, constraints, solver, cost, plan and explanation. Pure: offers, tables and now are arguments."""

"""Many jobs under shared quotas and budgets: column generation over `scipy.optimize.linprog` and `milp`."""

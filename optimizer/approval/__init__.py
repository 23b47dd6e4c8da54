"""The budget gate: what a plan may spend, who says so, and the records of both."""

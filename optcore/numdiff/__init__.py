"""Numerical derivatives: steps, plans, batches of evaluations, formulas."""

"""Measurements: scripts that run by themselves, and what tests borrow of them."""

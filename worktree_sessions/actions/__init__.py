"""What the product does: verbs that look, decide, act and return a result. They never print and never prompt."""

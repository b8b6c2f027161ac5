"""Python functions that a model may call: what it is told of them, consent, results, and rounds until it ends."""

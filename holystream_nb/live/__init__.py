"""Anything with `async for` and `stop()` on the screen while it arrives, and the plain output that is saved."""

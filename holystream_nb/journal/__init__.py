"""Answers on disk as they arrive: what outlives the page, the tab and the kernel."""

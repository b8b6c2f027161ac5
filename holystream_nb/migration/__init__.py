"""Moving an application from one service to another: traffic split over two clients, watched, and rolled back.

`guard` holds the rules (no I/O, time is an argument), `rollout` the split and its streams, `view` what is shown.
"""

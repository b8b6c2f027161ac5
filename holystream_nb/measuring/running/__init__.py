"""A plan carried out: workers in processes of their own, what they write followed, and shown while it goes on.

`worker` is what a child process runs; it imports nothing that only the parent needs.
"""

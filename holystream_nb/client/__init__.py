"""The client: answers from one service as they arrive, over connections that last."""

"""Providers: where models live, which one a name means, and the keys."""

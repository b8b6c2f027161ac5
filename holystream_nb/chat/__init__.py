"""ChatPanel: a conversation with one or several models, for a reader and for the program."""

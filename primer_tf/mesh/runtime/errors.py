"""Errors whose message is meant for the person at the keyboard."""


class UserError(ValueError):
    """Something the user can put right; the message says what and how, in one line."""

"""The error whose message is meant for the user."""


class UserError(ValueError):
    """Something the user can put right; the message is one line that says what and how."""

"""Errors that a user can mend."""


class UserError(Exception):
    """The user must change something: the message says what is wrong, where, and what would be right, in one line."""

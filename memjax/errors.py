"""The errors that a person can mend: the command line prints them as one message and ends with exit code 2."""


class UserError(Exception):
    """Wrong input, with a message written for a person: what is wrong, what was given and what is accepted."""


class ConfigError(UserError, ValueError):
    """Settings that cannot be read or are not accepted; the message lists every problem."""

"""The one exception that is meant for the user's eyes."""


class UserError(Exception):
    """Something the user can mend.

    The message is one line and names the file or configuration key, what was found and what was
    expected. Jobs print it alone, without a traceback.
    """

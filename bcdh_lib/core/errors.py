"""The one error of the library: what a user can fix."""


class StudyError(Exception):
    """Something the user can fix. The message is one line (or one a fault); it names the file or setting and the fix."""

"""Errors that speak to people: one sentence that names the thing at fault and what to do. A traceback is for a bug."""


class KinoflowError(Exception):
    """Something the user can put right; its text is printed as it stands and the command exits with status 1."""


class ConfigError(KinoflowError):
    """A configuration that is refused before anything runs."""


class DataError(KinoflowError):
    """A file, table or video that cannot be used as it is."""


class TerminatedError(BaseException):
    """SIGTERM came: unwinds the stage, so that it leaves no temporary file."""

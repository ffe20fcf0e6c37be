"""Errors that speak to people: one sentence that names the thing at fault and what to do. A traceback is for a bug."""

LONGEST = 900  # characters of a sentence; what a file holds may be quoted in it, and a line may hold megabytes


class KinoflowError(Exception):
    """Something the user can put right; its text is printed as it stands and the command exits with status 1.

    The text may quote what a file holds or is called: what cannot be printed is shown as an escape, so that it neither breaks
    the sentence nor speaks to the terminal, and of a very long text the middle is left out.
    """

    keeps_lines = False

    def __str__(self) -> str:
        """Return the sentence."""
        text = super().__str__()
        if self.keeps_lines:
            return "\n".join(map(_sentence, text.split("\n")))
        return _sentence(text)


class ConfigError(KinoflowError):
    """A configuration that is refused before anything runs: a sentence for each option at fault."""

    keeps_lines = True


class DataError(KinoflowError):
    """A file, table or video that cannot be used as it is."""


class StepsError(DataError):
    """Files that only a person can bring: the steps to take, one a line."""

    keeps_lines = True


class TerminatedError(BaseException):
    """SIGTERM came: unwinds the stage, so that it leaves no temporary file."""


def _sentence(text: str) -> str:
    if not text.isprintable():
        ends = (text,) if len(text) <= LONGEST else (text[:LONGEST], text[-LONGEST:])
        text = "".join(each if each.isprintable() else repr(each)[1:-1] for part in ends for each in part)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} [...] {text[-LONGEST // 2 :]}"

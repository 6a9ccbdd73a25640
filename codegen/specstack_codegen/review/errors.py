"""Why two states of a spec could not be compared."""


class ReviewError(Exception):
    """One readable reason, the first of `lines`; those after it say what helps."""

    def __init__(self, message: str, *hints: str) -> None:
        super().__init__("\n".join((message, *hints)))
        self.lines = (message, *hints)

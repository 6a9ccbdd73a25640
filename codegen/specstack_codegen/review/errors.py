"""Why two states of a spec could not be compared."""


class ReviewError(Exception):
    """One readable reason; `lines` are for the terminal."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines

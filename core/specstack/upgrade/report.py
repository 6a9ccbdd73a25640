"""What an upgrade says: everything that it could not carry, and everything that now means something else."""

from dataclasses import dataclass, field

from specstack.config_values import shown_path
from specstack.positions import Path


@dataclass(frozen=True, slots=True)
class Remark:
    """A line about one place of the old file. It never holds a value that could be a secret."""

    line: int
    path: Path
    message: str
    lost: bool

    def render(self, file: str) -> str:
        """For people, beginning with `file:line`."""
        head = "not carried" if self.lost else "note"
        return f"{file}:{self.line}: {shown_path(self.path)}: {head}: {self.message}"


@dataclass(slots=True)
class Report:
    """The remarks of one upgrade."""

    remarks: list[Remark] = field(default_factory=list[Remark])

    def lost(self, line: int, path: Path, message: str) -> None:
        """Something of the old file has no place in ours."""
        self.remarks.append(Remark(line, path, message, True))

    def note(self, line: int, path: Path, message: str) -> None:
        """Something was carried, but not as it was."""
        self.remarks.append(Remark(line, path, message, False))

    def lines(self, file: str) -> list[str]:
        """In the order of the file."""
        ordered = sorted(self.remarks, key=lambda one: (one.line, shown_path(one.path), one.message))
        return list(dict.fromkeys(one.render(file) for one in ordered))

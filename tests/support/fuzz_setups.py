"""The set-ups to which the contract fuzz sends the cases it draws, besides the one that it draws them for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis.errors import UnsatisfiedAssumption
from schemathesis.auths import AuthContext
from schemathesis.core.failures import FailureGroup
from schemathesis.generation.meta import TestPhase

from support.fresh import Fresh
from support.fuzzing import Answers, fuzz
from support.process import free_port
from support.serving import serving


@dataclass(eq=False)
class Setup:
    """A server, by the schema that calls it."""

    name: str
    schema: Any
    share: int
    """How many of an operation's drawn cases it gets, besides the spec's examples."""
    restore: Callable[[Any, str], None]
    """Puts back what was deleted under an id."""
    drawn: Counter[str] = field(default_factory=Counter[str])
    failed: set[str] = field(default_factory=set[str])

    def takes(self, case: Any) -> bool:
        """Whether it gets a case. After a failure it gets all, so that hypothesis finds a smaller one."""
        if case.meta.phase.name is not TestPhase.FUZZING:
            return case.meta.phase.name is TestPhase.EXAMPLES
        label = case.operation.label
        self.drawn[label] += 1
        return self.drawn[label] <= self.share or label in self.failed

    def send(self, case: Any, answers: Answers) -> None:
        """Send a case of its schema and run every check."""
        try:
            response = fuzz(case, answers)
        except UnsatisfiedAssumption:
            raise
        except (Exception, FailureGroup) as error:
            self.failed.add(case.operation.label)
            error.add_note(f"set-up of the contract fuzz: {self.name}")
            raise
        if case.method == "DELETE" and response.status_code == 200:
            answers.deleted = True
            self.restore(self.schema, response.json()["id"])


class Runs:
    """One operation's run: its cases are drawn for the first set-up, and sent to the others in parts."""

    def __init__(self, first: Setup, *others: Setup) -> None:
        self._first = first
        self._others = others
        self.answers = {setup.name: Answers(setup.name) for setup in (first, *others)}

    def send(self, case: Any) -> None:
        """Send a case to all that take it. Each has its own copy, as sending may change one."""
        copies = [(setup, moved(case, setup.schema)) for setup in self._others if setup.takes(case)]
        self._first.send(case, self.answers[self._first.name])
        for setup, copy in copies:
            setup.send(copy, self.answers[setup.name])

    def check(self) -> None:
        """Fails unless each set-up has answered with every media type that the operation documents."""
        for answers in self.answers.values():
            answers.check()


def moved(case: Any, schema: Any) -> Any:
    """The same case for the server of another schema of the same document, with that one's credentials."""
    operation = schema[case.path][case.method]
    other = operation.Case(
        path_parameters=dict(case.path_parameters),
        headers=case.headers.copy(),
        cookies=dict(case.cookies),
        query=dict(case.query),
        body=case.body,
        media_type=case.media_type,
        multipart_content_types=case.multipart_content_types,
        _meta=replace(case.meta),
    )
    schema.apply_auth(other, AuthContext(operation=operation, app=operation.app))
    return other


class Served:
    """An app behind the HTTP server of `stack-serve`, at one port however often it is started."""

    def __init__(self, app: Fresh) -> None:
        self.port = free_port()
        self._app = app
        self._stack = ExitStack()
        self._runs = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it unless it runs."""
        if not self._runs:
            self._stack.enter_context(serving(self._app, port=self.port))
            self._runs = True

    def stop(self) -> None:
        """Stop it: the next start is one from the same state."""
        self._stack.close()
        self._runs = False

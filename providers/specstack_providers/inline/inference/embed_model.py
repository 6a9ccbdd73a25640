"""A sentence model in ONNX form: texts to token ids, token ids to vectors. Everything here blocks."""

import base64
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from specstack_api.errors import ModelUnavailable

_FILES = ("model.onnx", "tokenizer.json")
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_ERRORS_ONLY = 3

_CHARACTERS_PER_TOKEN = 16
_LONGEST_WORD = 100
"""WordPiece reads a longer word as one unknown token."""

_TINY = 1e-14
"""Powers of ten are exact only up to 22, so smaller numbers stay as they are."""


class Vectors:
    """Unit vectors, one row for each text of a batch."""

    def __init__(self, numpy: Any, rows: Any) -> None:
        self._numpy = numpy
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def dimensions(self) -> int:
        """The length of each vector."""
        return self._rows.shape[1]

    def as_numbers(self) -> list[bytes]:
        """Each vector as a JSON list. Read as 32-bit floats the numbers are exactly those of `as_base64`."""
        return [to_json(row) for row in self._short().tolist()]

    def as_base64(self) -> list[bytes]:
        """Each vector as a JSON string: Base64 of its little-endian 32-bit floats."""
        return [b'"%b"' % base64.b64encode(row.astype("<f4").tobytes()) for row in self._rows]

    def cosines(self, query: "Vectors") -> list[float]:
        """How alike each vector and the first one of `query` are, from -1 to 1."""
        # Not a matrix product: that would wake the threads of numpy's BLAS for a few hundred numbers.
        return (self._rows * query._rows[0]).sum(axis=1).astype(float).tolist()

    def _short(self) -> Any:
        """The numbers with the nine digits that tell 32-bit floats apart, which halves the JSON."""
        numpy = self._numpy
        exact = self._rows.astype(float)
        magnitude = numpy.abs(exact)
        scale = 10.0 ** (8 - numpy.floor(numpy.log10(numpy.maximum(magnitude, _TINY))))
        return numpy.where(magnitude < _TINY, exact, numpy.rint(exact * scale) / scale)


class SentenceModel:
    """A loaded model. Safe to use from several threads at once; each call computes in its caller's thread.

    Raises `ModelUnavailable` in one line when the files are not there, damaged or of no such model.
    """

    def __init__(self, name: str, folder: Path, max_tokens: int) -> None:
        for file in _FILES:
            if not (folder / file).is_file():
                raise ModelUnavailable(
                    f"model {name!r}: {folder} has no {file}; `path` must be a folder with "
                    f"{' and '.join(_FILES)}, or give `store: all-minilm-l6-v2` instead"
                )
        self.name = name
        self.max_tokens = max_tokens
        self._numpy: Any = importlib.import_module("numpy")
        self._tokenizer: Any = _tokenizer(name, folder / "tokenizer.json", max_tokens)
        self._session: Any
        self._session, self._output = _session(name, folder / "model.onnx")
        self._inputs = frozenset(one.name for one in self._session.get_inputs())
        self.dimensions = self._try_out()

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text with its start and end marks, cut to `max_tokens`."""
        # A megabyte of text would take seconds and hundreds of megabytes only to be cut: read beginnings.
        length = self.max_tokens * _CHARACTERS_PER_TOKEN
        found = self._tokenizer.encode_batch([text[:length] for text in texts])
        return [
            encoding.ids if self._certain(encoding, text, length) else self._tokens_of(text, length * 4)
            for text, encoding in zip(texts, found, strict=True)
        ]

    def vectors(self, batch: Sequence[Sequence[int]]) -> Vectors:
        """The vectors of tokenised texts: the mean of what the model says of each token, at length 1."""
        numpy = self._numpy
        ids = numpy.zeros((len(batch), max(1, *map(len, batch))), numpy.int64)
        mask = numpy.zeros_like(ids)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": numpy.zeros_like(ids)}
        wanted = {name: feed[name] for name in self._inputs}
        states = self._session.run([self._output], wanted)[0]
        means = [states[row, : max(1, len(tokens))].mean(axis=0) for row, tokens in enumerate(batch)]
        rows = numpy.stack(means)
        length = numpy.sqrt((rows * rows).sum(axis=1, keepdims=True))
        return Vectors(numpy, rows / numpy.maximum(length, 1e-12))

    def close(self) -> None:
        """Frees the weights, whoever still holds the model. Nothing may compute meanwhile or afterwards."""
        self._session = self._tokenizer = None

    def _tokens_of(self, text: str, length: int) -> list[int]:
        """The token ids of a text that begins with lots of space or endless words."""
        while True:
            encoding = self._tokenizer.encode_batch([text[:length]])[0]
            if self._certain(encoding, text, length):
                return encoding.ids
            length *= 4

    def _certain(self, encoding: Any, text: str, length: int) -> bool:
        """Whether the first `length` characters give the tokens that the whole text gives."""
        if len(text) <= length:
            return True
        last = max((end for _, end in encoding.offsets), default=0)
        return bool(encoding.overflowing) and last + _LONGEST_WORD < length

    def _try_out(self) -> int:
        """The length of the vectors, found with the longest text there may be."""
        try:
            return self.vectors(self.tokens(["word " * self.max_tokens])).dimensions
        except Exception as error:
            raise ModelUnavailable(
                f"model {self.name!r} cannot read {self.max_tokens} tokens; its tokenizer may be another "
                f"model's, or `max_tokens` too high: {_line(error)}"
            ) from error


def _tokenizer(name: str, file: Path, max_tokens: int) -> Any:
    tokenizers: Any = importlib.import_module("tokenizers")
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(file))
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_tokens)
    except Exception as error:
        raise ModelUnavailable(f"model {name!r}: {file} is no tokenizer: {_line(error)}") from error
    return tokenizer


def _session(name: str, file: Path) -> tuple[Any, str]:
    """The ONNX session, and the name of its output that has a row for each token."""
    runtime: Any = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    # One thread for each run: runs side by side use the cores better than one run on all of them.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The arena would keep the memory of the largest batch for ever.
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = _ERRORS_ONLY
    try:
        session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelUnavailable(f"model {name!r}: {file} is no ONNX model: {_line(error)}") from error
    inputs = [one.name for one in session.get_inputs()]
    outputs = [
        one.name for one in session.get_outputs() if len(one.shape) == len(("text", "token", "number"))
    ]
    if "input_ids" not in inputs or not set(inputs) <= set(_INPUTS) or not outputs:
        raise ModelUnavailable(
            f"model {name!r}: {file} is no BERT-like sentence model; it takes {', '.join(inputs)} and gives "
            f"{', '.join(one.name for one in session.get_outputs())}"
        )
    return session, outputs[0]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

"""Load a model for MLflow: `mlflow.pyfunc.load_model` and `mlflow models serve` import this module."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from blurr.errors import InputError
from blurr.serve.chatting import Completion, completion_of, is_chat, model_name, writing_of
from blurr.serve.predictor import Predictor, is_failure


class ServedModel:
    """A model with the interface that MLflow calls."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def predict(self, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None) -> list[Any]:
        """Predict on the rows of a table.

        Args:
            model_input: a column for each role, see `Predictor.roles`; files, such as pictures, are bytes.
            params: see `Predictor.options`; `None` keeps the model's own value.

        Returns:
            The result of `learn.predict` for each row.

        Raises:
            InputError: a row cannot be predicted on; the message names the first one.
            Exception: whatever else the first such row causes.
        """
        options = {name: value for name, value in (params or {}).items() if value is not None}
        rows = [{str(k): _plain(v) for k, v in row.items()} for row in model_input.to_dict("records")]
        for number, row in enumerate(rows, start=1):
            self._check_files(row, number)
        results = self.predictor.predict_each(rows, **options)
        for number, result in enumerate(results, start=1):
            if isinstance(result, InputError):
                raise InputError(f"Row {number}: {result}")
            if is_failure(result):
                raise result
        return results

    def _check_files(self, row: Mapping[str, Any], number: int) -> None:
        """Refuse paths: whoever may ask MLflow's server may not read its machine.

        Raises:
            InputError: a file is not given as bytes.
        """
        for role, media in self.predictor.media.items():
            if not isinstance(row.get(role), bytes | bytearray | None):
                raise InputError(
                    f"Row {number}: the column {role!r} holds {row[role]!r:.40}, and takes the bytes of a "
                    f"{media.kind}, as `open(path, 'rb').read()` returns them; JSON has them as base64 text."
                )


class ServedChat:
    """A model that answers chats, with MLflow's interface `llm/v1/chat`."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor, self.name = predictor, model_name(predictor)

    def predict(self, model_input: pd.DataFrame | Mapping[str, Any], params: Mapping[str, Any] | None = None) -> Any:
        """Answer one chat, or each row of a table.

        Args:
            model_input: `messages`, and settings such as `max_tokens`, see `serve.chatting.Completion`.
            params: More of these.

        Returns:
            OpenAI's `chat.completion`; a list of them for a table of several rows.

        Raises:
            InputError: a chat cannot be answered.
        """
        given = [model_input] if isinstance(model_input, Mapping) else model_input.to_dict("records")
        rows = [{str(k): _plain(v) for k, v in [*row.items(), *(params or {}).items()]} for row in given]
        answers = [self._answer({k: v for k, v in row.items() if v is not None}) for row in rows]
        return answers[0] if len(answers) == 1 else answers

    def _answer(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            asked = Completion.model_validate({**row, "model": self.name})
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        writing = writing_of(self.predictor, list(asked.messages), asked)
        while writing.finish is None:
            writing.step()
        return completion_of(writing, self.name)


def _plain(value: Any) -> Any:
    """Turn an array back into a list, and a missing value into None."""
    if isinstance(value, np.ndarray):
        return [_plain(each) for each in value.tolist()]
    return None if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)) else value


def _load_pyfunc(path: str) -> ServedModel | ServedChat:
    """Load the model of a folder; MLflow looks for a function of this name."""
    predictor = Predictor.load(path)
    return ServedChat(predictor) if is_chat(predictor) else ServedModel(predictor)

"""The types of what the files of a run hold, as far as blurr reads it again; other keys may stand beside."""

from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Le
from pydantic import BaseModel, ConfigDict, Field, model_validator

from blurr.runs.parsing import Number, Time, Whole

QUANTILES = {"0.0", "0.5", "0.95", "1.0"}  # those that a report shows


class Scores(BaseModel):
    """metrics.json."""

    __pydantic_extra__: dict[str, Number]
    model_config = ConfigDict(extra="allow")


class Intervals(BaseModel):
    """intervals.json."""

    __pydantic_extra__: dict[str, tuple[Number, Number]]
    model_config = ConfigDict(extra="allow")


class Line(Scores):
    """A line of metrics.jsonl: when something was logged, and the values, under their names."""

    identity: str | None = None
    step: Whole
    time: Time


class ConfigModel(BaseModel):
    """The part `model` of a config."""

    name: str | None = None


class Config(BaseModel):
    """config.yaml."""

    model: ConfigModel = ConfigModel()
    loader: dict[str, Any] = {}
    metrics: dict[str, dict[str, Any]] | None = None
    objective: str | list[str] | None = None


class Gpu(BaseModel):
    """A GPU."""

    name: str


class Cpu(BaseModel):
    """The processor."""

    count: Whole | None = None


class Git(BaseModel):
    """The state of a checkout."""

    commit: str
    dirty: bool


class Environment(BaseModel):
    """environment.json."""

    blurr: str = ""
    python: str = ""
    packages: dict[str, str] = {}
    platform: str = ""
    cpu: Cpu = Cpu()
    threads: Annotated[int, Ge(1), Le(4096)] | None = None
    memory_gib: Number = 0.0
    gpu: list[Gpu] = []
    git: Git | None = None


class Histogram(BaseModel):
    """How many rows have a length between two edges."""

    edges: list[Number]
    counts: list[Whole]

    @model_validator(mode="after")
    def has_an_edge_more(self) -> Self:
        """Check that every count stands between two edges."""
        if not self.counts or len(self.edges) != len(self.counts) + 1:
            raise ValueError(f"{len(self.edges)} edges do not fit {len(self.counts)} counts")
        return self


class TokenFigures(BaseModel):
    """The figures of a split, see `blurr.report.facts.token_figures`."""

    rows: Whole
    tokens: Whole
    padding: Whole
    batches: Whole
    limit: Whole | None
    at_limit: Whole
    quantiles: dict[str, Number]
    histogram: Histogram

    @model_validator(mode="after")
    def has_quantiles(self) -> Self:
        """Check that the quantiles are there that a report shows."""
        if not set(self.quantiles) >= QUANTILES:
            raise ValueError(f"of the quantiles there are {sorted(self.quantiles)}")
        return self


class NearDuplicate(BaseModel):
    """The row of another split whose file is nearly the same."""

    split: str
    row: Whole
    likeness: Number


DATA_URL = r"^data:(image/(png|jpeg|webp)|audio/[a-z]+);base64,[A-Za-z0-9+/=]+$"


class Preview(BaseModel):
    """A line of previews.jsonl, see `blurr.tasks.previews`."""

    role: str
    split: str
    row: Whole
    name: str = ""
    label: Any = None
    measures: dict[str, Number] = {}
    near: NearDuplicate | None = None
    url: Annotated[str, Field(pattern=DATA_URL)] | None = None
    sound: Annotated[str, Field(pattern=DATA_URL)] | None = None
    note: str = ""


class Facts(BaseModel):
    """facts.json, see `blurr.report.facts`."""

    choices: dict[str, str] = {}
    predicts: str = ""
    weights: str = ""
    architecture: str | None = None
    numbers: dict[str, str | None] = {}
    parameters: Whole = 0
    adapter: str | None = None
    source: str = ""
    fingerprint: str = ""
    seen: Annotated[str, Field(pattern="^([0-9a-f]{16})*$")] = ""
    broken: dict[str, list[str]] = {}
    rows: dict[str, Whole] = {}
    directions: dict[str, Literal["minimize", "maximize"] | None] = {}
    notes: dict[str, str] = {}
    doubts: list[str] = []
    labels: list[str] | None = None
    processor: dict[str, str] = {}
    tokens: dict[str, TokenFigures] = {}
    rate: Whole = 0

"""What a training shows in a terminal and in a pipe."""

import io

from fastai.callback.progress import ProgressCallback
from rich.console import Console

from blurr.training.progress import TerminalProgress


def shown(learner, *, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, highlight=False)
    learner.add_cb(TerminalProgress(console))
    learner.logger = learner.terminal_progress.write
    learner.fit(2, 1e-2)
    return out.getvalue()


def make_learner(tmp_path):
    import torch
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Learner
    from fastai.losses import MSELossFlat

    rows = [(torch.randn(2), torch.randn(1)) for _ in range(12)]
    dls = DataLoaders(DataLoader(rows, bs=4), DataLoader(rows, bs=4), device="cpu")
    learner = Learner(dls, torch.nn.Linear(2, 1), MSELossFlat(), path=tmp_path)
    learner.remove_cbs(learner._grab_cbs(ProgressCallback))
    return learner


def test_a_pipe_gets_a_line_per_epoch_and_no_bar(tmp_path):
    lines = shown(make_learner(tmp_path), terminal=False).splitlines()
    assert lines[0].split() == ["epoch", "train_loss", "valid_loss", "time"]
    assert [line.split()[0] for line in lines[1:]] == ["0", "1"]
    assert len(lines) == 3


def test_a_terminal_gets_a_bar_for_each_pass(tmp_path):
    text = shown(make_learner(tmp_path), terminal=True)
    assert "epoch 2/2 valid" in text
    assert "loss " in text


def test_fastais_own_bar_is_replaced_while_shown(tmp_path):
    learner = make_learner(tmp_path)
    logger = learner.logger
    with TerminalProgress.shown(learner):
        assert hasattr(learner, "terminal_progress")
    assert not hasattr(learner, "terminal_progress")
    assert learner.logger is logger

"""A prediction loads what it needs, and what fastai needs for other things is there when it is asked for."""

import os
import subprocess
import sys

import pytest

from blurr.config import paths

UNUSED = {"mlflow", "sklearn", "sklearn.metrics", "torchmetrics", "scipy.stats"}
PROGRAM = f"""
import sys
from blurr.cli import main
try:
    main()
except SystemExit:
    print(sorted({UNUSED} & set(sys.modules)))
from fastai.data.transforms import train_test_split
from fastai.metrics import F1Score, skm
from sklearn import metrics, model_selection
rows = list(range(9))
print(train_test_split(rows, random_state=1) == model_selection.train_test_split(rows, random_state=1))
print(skm.f1_score is metrics.f1_score, F1Score().func is metrics.f1_score)
"""


@pytest.mark.slow
def test_a_prediction_loads_no_scikit_learn_which_fastai_has_when_it_is_asked_for(saved, tmp_path):
    _, folder = saved("sequence_classification")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "predict", str(folder), "--text", "a film"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(paths.PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    *answer, loaded, same_rows, same_scores = done.stdout.splitlines()
    assert "label" in "".join(answer)
    assert (loaded, same_rows, same_scores) == ("[]", "True", "True True")
